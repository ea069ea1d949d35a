//! Schemes that belong to no app: a redirect there would run, mount, call or search something.

/// Names in lower case. Protocols and formats of the IANA registry *Uniform Resource Identifier (URI) Schemes* as of
/// March 2024, without those that one app has registered for itself.
const REGISTERED: &str = "\
    aaa aaas about acap acct acd acr adiumxtra adt afp afs aim amss android appdata apt ar ark at attachment aw bb \
    beshare bitcoin bitcoincash blob bolo brid browserext cabal calculator callto cap cast casts chrome \
    chrome-extension cid coap coap+tcp coap+ws coaps coaps+tcp coaps+ws content content-type crid cstr cvs dab dat \
    data dav dhttp diaspora dict did dis dlna-playcontainer dlna-playsingle dns dntp doi dpp drm drop dtmi dtn dvb \
    dvx dweb ed2k eid elsi embedded ens ethereum facetime fax feed feedready fido file filesystem finger \
    first-run-pen-experience fish fm ftp fuchsia-pkg geo gg git gitoid gizmoproject go gopher graph grd gtalk h323 ham \
    hcap hcp http https hxxp hxxps hydrazone hyper iax icap icon im imap info iotdisco ipfs ipn ipns ipp ipps irc irc6 \
    ircs iris iris.beep iris.lwz iris.xpc iris.xpcs isostore itms jabber jar jms keyparc ldap ldaps lid lorawan lpa \
    lvlt machineprovisioningprogressreporter magnet mailserver mailto maps market matrix message \
    microsoft.windows.camera microsoft.windows.camera.multipicker microsoft.windows.camera.picker mid mms modem \
    mongodb moz msnim msrp msrps mss mt mtqp mumble mupdate mvn mvrp mvrps news nfs ni nih nntp notes num ocf oid \
    opaquelocktoken openid openpgp4fpr otpauth p1 pack palm paparazzi payment payto pkcs11 platform pop pres prospero \
    proxy psyc pttp pwid qb query quic-transport redis rediss reload res resource rmi rsync rtmfp rtmp rtsp rtsps \
    rtspu sarif secret-token service session sftp sgn shc shttp sieve simpleledger simplex sip sips skype smb smp sms \
    smtp snews snmp soap.beep soap.beeps soldat spiffe ssb ssh starknet steam stun stuns submit svn swh swid swidpath \
    tag taler teamspeak tel telnet tftp thismessage tip tn3270 tool turn turns tv udp unreal upt urn ut2004 \
    uuid-in-package v-event vemmi ventrilo ves videotex view-source vnc w3 wais wcr web+ap web3 webcal wifi wpid ws wss \
    wtai wyciwyg xcon xcon-userid xfire xftp xmlrpc.beep xmlrpc.beeps xmpp xrcp xri ymsgr z39.50 z39.50r z39.50s";

/// What browsers, operating systems and servers answer to beside the registry.
const KNOWN: &str = "\
    amqp amqps android-app applescript brave cache chrome-search chrome-untrusted cifs devtools edge externalfile \
    facetime-audio feeds ftps googlechrome googlechromes help intent isolated-app itms-apps itms-appss itms-services \
    itmss itpc its javascript jdbc jscript kafka ldapi livescript local mhtml microsoft-edge mk mmsto mocha \
    moz-extension moz-icon mqtt mqtts mysql netdoc nntps odbc opera outlook pcast podcast postgres postgresql rdp rsrc \
    s3 safari-extension safari-web-extension search search-ms shell smsto svn+ssh git+ssh telnets telprompt vbs \
    vbscript view-cache vivaldi webcals windowsdefender x-apple.systempreferences x-help-action x-jsd";

/// `ms-msdt`, `ms-settings`, `ms-its` and many more: parts of Windows and Office.
const MICROSOFT: &str = "ms-";

/// Whether `scheme`, in any ASCII case, may be an app's own.
pub(super) fn is_for_apps(scheme: &str) -> bool {
    let windows = scheme
        .split_at_checked(MICROSOFT.len())
        .is_some_and(|(head, _)| head.eq_ignore_ascii_case(MICROSOFT));
    let mut taken = REGISTERED.split_ascii_whitespace().chain(KNOWN.split_ascii_whitespace());
    !windows && !taken.any(|taken| scheme.eq_ignore_ascii_case(taken))
}
