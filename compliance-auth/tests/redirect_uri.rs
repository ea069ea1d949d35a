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
        "http://127.0.0.1:/cb2",
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
