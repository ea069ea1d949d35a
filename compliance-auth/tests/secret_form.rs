//! The axum extractor: forms are read strictly, straight into secrets.

use axum_core::body::Body;
use axum_core::extract::{FromRequest as _, Request};
use axum_core::response::IntoResponse as _;
use compliance_auth::password::{SecretForm, SecretFormRejection};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
struct SignUp {
    email: String,
    password: SecretString,
    age: Option<u8>,
    #[serde(default)]
    newsletter: bool,
}

async fn read(body: impl Into<Body>) -> Result<SignUp, SecretFormRejection> {
    let request = Request::post("/signup")
        .header("content-type", "application/x-www-form-urlencoded; charset=utf-8")
        .body(body.into())
        .unwrap();
    SecretForm::<SignUp>::from_request(request, &()).await.map(|SecretForm(form)| form)
}

#[tokio::test]
async fn fields_are_decoded() {
    let form =
        read("email=jane%40acme.test&password=ein+Wal%20k%C3%A4nnt+%2B%26%3D&age=31&newsletter=true&x=1")
            .await
            .unwrap();
    assert_eq!(form.email, "jane@acme.test");
    assert_eq!(form.password.expose_secret(), "ein Wal kännt +&=");
    assert_eq!((form.age, form.newsletter), (Some(31), true));
    let form = read("email=&password=a=b").await.unwrap();
    assert_eq!((form.password.expose_secret(), form.age), ("a=b", None));
    assert!(!format!("{form:?}").contains("a=b"));
}

#[tokio::test]
async fn what_is_no_such_form_is_refused() {
    for body in [
        "email=jane",
        "email=jane&password=%",
        "email=jane&password=%4",
        "email=jane&password=%zz",
        "email=jane&password=%ff",
        "email=jane&password=a&password=b",
        "email=jane&password=a&age=x",
        "email=jane&password=a&age=300",
    ] {
        assert_eq!(read(body).await.unwrap_err(), SecretFormRejection::Malformed, "{body}");
    }
    let long = format!("email=jane&password={}", "x".repeat(SecretForm::<SignUp>::MAX_LEN));
    assert_eq!(read(long).await.unwrap_err(), SecretFormRejection::TooLong);
}

#[tokio::test]
async fn only_posted_forms_are_read() {
    let get = Request::get("/signup?password=a").body(Body::empty()).unwrap();
    let rejection = SecretForm::<SignUp>::from_request(get, &()).await.map(|_| ()).unwrap_err();
    assert_eq!(rejection, SecretFormRejection::Method);
    let json =
        Request::post("/signup").header("content-type", "application/json").body(Body::from("{}")).unwrap();
    let rejection = SecretForm::<SignUp>::from_request(json, &()).await.map(|_| ()).unwrap_err();
    assert_eq!(rejection, SecretFormRejection::ContentType);
    assert_eq!(rejection.into_response().status(), 415);
}
