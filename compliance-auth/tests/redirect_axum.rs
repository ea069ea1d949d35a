//! A checked target as an axum response.

use axum_core::response::IntoResponse as _;
use compliance_auth::redirect::{RedirectPolicy, RegisteredRedirectUris, SafeRedirect};
use compliance_core::testing::block_on;
use http::{StatusCode, header};
use http_body_util::BodyExt as _;

#[track_caller]
fn check(target: SafeRedirect, expected: &str) {
    let response = target.clone().into_response();
    assert_eq!(response.status(), StatusCode::SEE_OTHER);
    let locations: Vec<_> = response.headers().get_all(header::LOCATION).iter().collect();
    assert_eq!(locations, [expected]);
    assert_eq!(response.extensions().get::<SafeRedirect>(), Some(&target));
    assert!(block_on(response.into_body().collect()).unwrap().to_bytes().is_empty());
}

#[test]
fn a_checked_target_is_a_303_to_its_location() {
    let policy =
        RedirectPolicy::builder("https://app.example/login").default_target("/home").build().unwrap();
    check(policy.check("/bücher?q=a#top").unwrap(), "https://app.example/b%C3%BCcher?q=a#top");
    check(policy.check_or_default("//evil.example"), "https://app.example/home");
    check(policy.check_or_default("/x\r\nset-cookie: a=b"), "https://app.example/home");
}

#[test]
fn an_oauth_answer_goes_to_the_client() {
    let client = RegisteredRedirectUris::parse(["com.example.app:/cb"]).unwrap();
    let answer = client.check("com.example.app:/cb").unwrap().with_query([("state", "\r\n")]).unwrap();
    check(answer, "com.example.app:/cb?state=%0D%0A");
}
