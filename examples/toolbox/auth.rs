//! Redirects and passwords.

use std::sync::Arc;

use compliance_auth::password::breach::{BreachFilter, OnUnavailable};
use compliance_auth::password::{PasswordContext, PasswordPolicy, PasswordProfile};
use compliance_auth::redirect::{OriginPattern, RedirectPolicy, RegisteredRedirectUris, Scheme};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::Ended;
use crate::lines::answer_lines;

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
    let schemes = line.schemes.iter().map(|scheme| match scheme.as_str() {
        "http" => Some(Scheme::Http),
        "https" => Some(Scheme::Https),
        _ => None,
    });
    let schemes: Option<Vec<_>> = schemes.collect();
    let mut policy = RedirectPolicy::builder(&line.base).schemes(schemes.ok_or("toolbox.scheme")?);
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

#[derive(Deserialize)]
pub(crate) struct Password {
    password: SecretString,
    #[serde(default)]
    context: Vec<String>,
    profile: Option<String>,
}

/// `{"password","context":[],"profile"?}` → `{"verdict":"accept"|"refuse","reasons":[],"score","guesses_log10"}`
///
/// `profile` is `nist` (the default; single factor), `nist-mfa`, `asvs` or `pci`. `--breach FILE` also asks a breach
/// filter.
pub(crate) fn password(options: &[&str]) -> Option<Ended> {
    let filter = match options {
        [] => None,
        ["--breach", file] => match BreachFilter::open(file) {
            Ok(filter) => Some(Arc::new(filter)),
            Err(error) => return Some(Ended::Failed(error.to_string())),
        },
        _ => return None,
    };
    Some(answer_lines(move |line| judge_password(line, filter.as_ref())))
}

fn judge_password(line: Password, filter: Option<&Arc<BreachFilter>>) -> Value {
    let Some(profile) = PasswordProfile::parse(line.profile.as_deref().unwrap_or("nist")) else {
        return json!({"verdict": "refuse", "reasons": ["toolbox.profile"]});
    };
    let mut policy = PasswordPolicy::of(profile);
    if let Some(filter) = filter {
        policy = policy.breach_filter(Arc::clone(filter), OnUnavailable::Refuse);
    }
    let context = line.context.iter().fold(PasswordContext::new(), |context, text| context.user(text));
    let (verdict, reasons, strength) = match policy.check(&line.password, &context) {
        Ok(accepted) => ("accept", Vec::new(), Some(accepted.strength())),
        Err(refusal) => {
            let codes = refusal.reasons().iter().map(|reason| reason.code()).collect();
            ("refuse", codes, refusal.strength())
        }
    };
    json!({
        "verdict": verdict,
        "reasons": reasons,
        "score": strength.map(|strength| strength.score().as_u8()),
        "guesses_log10": strength.map(|strength| strength.guesses_log10()),
    })
}
