//! OAuth redirect URIs: byte for byte, but for the port of a loopback address.

use compliance_auth::redirect::{
    RedirectUriErrorKind as Kind, RegisteredRedirectUri, RegisteredRedirectUris,
};

#[track_caller]
fn check(registered: &str, input: &str, expected: bool) {
    let registered = RegisteredRedirectUris::parse([registered]).unwrap();
    assert_eq!(registered.check(input).is_ok(), expected, "{input}");
}

#[test]
fn nothing_is_normalised() {
    let registered = "https://app.example/cb?a=b%20c";
    check(registered, "https://app.example/cb?a=b%20c", true);
    for input in [
        "https://app.example/cb?a=b+c",
        "https://app.example/cb",
        "https://APP.example/cb?a=b%20c",
        "https://app.example:443/cb?a=b%20c",
        "https://app.example/cb?a=b%20c#",
        "https://app.example/cb?a=b%20c ",
        "https://app.example/x/../cb?a=b%20c",
        "",
    ] {
        check(registered, input, false);
    }
}

#[test]
fn only_loopback_literals_may_change_their_port() {
    check("http://127.0.0.1/cb", "http://127.0.0.1:51004/cb", true);
    check("http://127.0.0.1:80/cb", "http://127.0.0.1/cb", true);
    check("http://[::1]:7/cb?x=1", "http://[::1]:65535/cb?x=1", true);
    check("http://localhost:3000/cb", "http://localhost:3000/cb", true);
    check("http://localhost:3000/cb", "http://localhost:3001/cb", false);
    check("https://app.example/cb", "https://app.example:8443/cb", false);
    for input in [
        "http://127.0.0.1:65536/cb",
        "http://127.0.0.1:0/cb",
        "http://127.0.0.1:/cb",
        "http://127.0.0.1:80@evil.example/cb",
        "http://127.0.0.1.evil.example/cb",
        "http://127.0.0.1:8080",
        "http://[::1]/cb",
        "http://127.0.0.2/cb",
        "https://127.0.0.1/cb",
        "HTTP://127.0.0.1/cb",
        "http://127.0.0.1:80\\@evil.example/cb",
    ] {
        check("http://127.0.0.1/cb", input, false);
    }
}

#[test]
fn what_must_not_be_registered_is_refused() {
    for uri in [
        "https://app.example/cb#x",
        "https://*.example/cb",
        "http://app.example/cb",
        "https://u@app.example/cb",
        "javascript:alert(1)",
        "DATA:text/html,x",
        "https:///cb",
        "https:",
        "/cb",
        "https://app.example/\\x",
        "app:",
        "https://app.example/ü",
        "",
        "blob:https://app.example/1",
        "http://localhost.evil.example/cb",
    ] {
        let error = RegisteredRedirectUri::parse(uri).unwrap_err();
        assert_eq!(error.kind(), Kind::Registration, "{uri}");
    }
    for uri in ["https://app.example", "com.example.app:/callback", "wta://auth", "http://[::1]:0443/cb"] {
        assert!(RegisteredRedirectUri::parse(uri).is_ok(), "{uri}");
    }
}

#[track_caller]
fn check_registration(uri: &str, expected: bool) {
    let found = RegisteredRedirectUri::parse(uri).map_err(|error| error.kind());
    assert_eq!(found.map(drop), if expected { Ok(()) } else { Err(Kind::Registration) }, "{uri}");
}

#[test]
fn schemes_that_are_no_apps_own_are_refused() {
    let refused = "ws wss WSS gopher ldap ldaps smb ssh sftp tel sms mailto data blob javascript vbs vbscript \
                   livescript mhtml content res resource jar intent ftp ms-msdt MS-Settings ms-word ms- search-ms \
                   search shell microsoft-edge itms-services chrome-extension view-source about file filesystem \
                   soap.beep x-apple.systempreferences";
    for scheme in refused.split_ascii_whitespace() {
        check_registration(&format!("{scheme}://cb"), false);
        check_registration(&format!("{scheme}:/cb"), false);
    }
    for scheme in
        ["com.example.app", "wta", "web+application", "msal1234", "vscode", "wsx", "javascripts", "ms"]
    {
        check_registration(&format!("{scheme}://cb"), true);
        check_registration(&format!("{scheme}:/cb"), true);
    }
}

#[test]
fn a_scheme_does_not_wrap_another() {
    check_registration("feed:javascript:alert(1)", false);
    check_registration("com.example.app:javascript:alert(1)", false);
    check_registration("com.example.app:https://app.example/cb", false);
    check_registration("com.example.app://javascript:alert(1)", false);
    check_registration("com.example.app:/cb:1", true);
    check_registration("com.example.app:cb", true);
    check_registration("com.example.app://cb:8080/x", true);
}

#[test]
fn a_host_is_registered_as_a_parser_reads_it() {
    check_registration("https://APP.example/cb", true);
    check_registration("https://app.example:8443?x", true);
    check_registration("https://[2001:db8::1]/cb", true);
    check_registration("https://192.0.2.1/cb", true);
    check_registration("https://xn--bcher-kva.example/cb", true);
    for host in
        ["exa%6dple.com", "0x7f.1", "127.1", "2130706433", "[2001:db8:0::1]", "xn--a", "app.example:x", "a@b"]
    {
        check_registration(&format!("https://{host}/cb"), false);
    }
    check_registration("wta://a@b/cb", false);
    check_registration("wta://[::1/cb", false);
}

#[test]
fn an_answer_keeps_what_was_registered() {
    let client = RegisteredRedirectUris::parse(["https://App.example?x"]).unwrap();
    let answer = client.check("https://App.example?x").unwrap().with_query([("code", "1")]).unwrap();
    assert_eq!(answer.location(), "https://App.example?x&code=1");
}

#[test]
fn response_parameters_are_encoded_into_the_query() {
    let registered =
        RegisteredRedirectUris::parse(["https://app.example/cb?x=1", "app.example:/cb?"]).unwrap();
    let uri = registered.check("https://app.example/cb?x=1").unwrap();
    let target = uri.with_query([("code", "a&b=c#d"), ("state", "é \r\n")]).unwrap();
    assert_eq!(target.location(), "https://app.example/cb?x=1&code=a%26b%3Dc%23d&state=%C3%A9+%0D%0A");
    let app = registered.check("app.example:/cb?").unwrap();
    assert_eq!(
        app.with_query([("error", "access_denied")]).unwrap().location(),
        "app.example:/cb?error=access_denied"
    );
    let long = "x".repeat(RegisteredRedirectUri::MAX_LEN);
    assert_eq!(uri.with_query([("state", long.as_str())]).unwrap_err().kind(), Kind::TooLong);
}
