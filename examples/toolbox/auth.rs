//! Redirects and passwords.

use compliance_auth::redirect::{OriginPattern, RedirectPolicy, RedirectScheme, RegisteredRedirectUris};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
pub(crate) struct Redirect {
    input: String,
    base: String,
    #[serde(default)]
    allow_origins: Vec<String>,
    #[serde(default = "https")]
    schemes: Vec<String>,
}

fn https() -> Vec<String> {
    vec!["https".to_owned()]
}

/// `{"input","base","allow_origins":[],"schemes":["https"]}` → `{"verdict","location"?,"reason"?}`
pub(crate) fn redirect(line: Redirect) -> Value {
    match judge_redirect(&line) {
        Ok(location) => json!({"verdict": "allow", "location": location}),
        Err(reason) => json!({"verdict": "deny", "reason": reason}),
    }
}

fn judge_redirect(line: &Redirect) -> Result<String, &'static str> {
    let schemes = line.schemes.iter().map(|scheme| RedirectScheme::parse(scheme)).collect::<Option<Vec<_>>>();
    let mut policy = RedirectPolicy::builder(&line.base).schemes(schemes.ok_or("redirect_policy.scheme")?);
    for origin in &line.allow_origins {
        policy = policy.allow(OriginPattern::parse(origin).map_err(|e| e.code())?);
    }
    let policy = policy.build().map_err(|e| e.code())?;
    policy.check(&line.input).map(|target| target.into_location()).map_err(|e| e.code())
}

#[derive(Deserialize)]
pub(crate) struct RedirectUri {
    input: String,
    registered: Vec<String>,
}

/// `{"input","registered":[]}` → `{"verdict","reason"?}`, exact as OAuth wants it.
pub(crate) fn redirect_uri(line: RedirectUri) -> Value {
    let checked = RegisteredRedirectUris::parse(line.registered.iter().map(String::as_str))
        .and_then(|registered| registered.check(&line.input));
    match checked {
        Ok(_) => json!({"verdict": "allow"}),
        Err(error) => json!({"verdict": "deny", "reason": error.code()}),
    }
}

#[derive(Deserialize)]
pub(crate) struct Pattern {
    input: String,
}

/// `{"input"}` → `{"verdict":"accept-pattern"|"reject-pattern","reason"?}`
pub(crate) fn origin_pattern(line: Pattern) -> Value {
    match OriginPattern::parse(&line.input) {
        Ok(_) => json!({"verdict": "accept-pattern"}),
        Err(error) => json!({"verdict": "reject-pattern", "reason": error.code()}),
    }
}
