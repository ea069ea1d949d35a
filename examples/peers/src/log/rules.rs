//! Thirty rules for `dd-sensitive-data-scanner`, which brings an engine and validators but no rules.
//!
//! They cover what our default detectors find most, in ASCII classes, with its own checksum validators and its keyword
//! proximity where ours wants a checksum or a word as well.

use dd_sds::{MatchAction, RegexRuleConfig, RootRuleConfig, Scanner, SecondaryValidator};

use crate::measure::Failure;

pub(super) fn scanner() -> Result<Scanner, Failure> {
    let rules: Vec<_> = all()
        .into_iter()
        .map(|(name, rule)| RootRuleConfig::new(rule.build()).match_action(MatchAction::redact(name)))
        .collect();
    Scanner::builder(&rules).build().map_err(|error| format!("{error:?}").into())
}

fn all() -> [(&'static str, RegexRuleConfig); 30] {
    use SecondaryValidator as Check;
    let plain = RegexRuleConfig::new;
    let checked = |pattern, check| RegexRuleConfig::new(pattern).with_validator(Some(check));
    let near = |pattern, words: &[&str]| RegexRuleConfig::new(pattern).with_included_keywords(words);
    [
        (
            "[EMAIL]",
            plain(r"(?i)\b[a-z0-9._%+\-]{1,64}@[a-z0-9\-]{1,63}(?:\.[a-z0-9\-]{1,63}){0,4}\.[a-z]{2,24}\b"),
        ),
        ("[PHONE]", plain(r"\+[1-9][0-9]{0,2}[ .\-]?(?:\(?[0-9]{1,4}\)?[ .\-]?){2,4}[0-9]{2,4}\b")),
        ("[PHONE]", plain(r"\b[2-9][0-9]{2}[.\-][2-9][0-9]{2}[.\-][0-9]{4}\b")),
        (
            "[IPV4]",
            plain(r"\b(?:(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])\.){3}(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])\b"),
        ),
        ("[IPV6]", plain(r"(?i)\b(?:[0-9a-f]{1,4}:){2,7}(?::|[0-9a-f]{1,4})(?::[0-9a-f]{1,4}){0,5}\b")),
        ("[MAC]", plain(r"(?i)\b(?:[0-9a-f]{2}[:\-]){5}[0-9a-f]{2}\b")),
        ("[CREDIT_CARD]", checked(r"\b[3-6](?:[ \-]?[0-9]){12,18}\b", Check::LuhnChecksum)),
        (
            "[IBAN]",
            checked(r"\b[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b", Check::IbanChecker),
        ),
        ("[US_SSN]", plain(r"\b[0-8][0-9]{2}-[0-9]{2}-[0-9]{4}\b")),
        (
            "[UK_NINO]",
            checked(
                r"(?i)\b[a-ceghj-pr-tw-z][a-ceghj-npr-tw-z] ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[a-d]\b",
                Check::UkNinoFormatCheck,
            ),
        ),
        (
            "[UK_NHS]",
            checked(r"\b[0-9]{3}[ \-]?[0-9]{3}[ \-]?[0-9]{4}\b", Check::NhsCheckDigit)
                .with_included_keywords(["nhs", "patient"]),
        ),
        ("[DE_TAX_ID]", checked(r"\b[1-9][0-9](?: ?[0-9]{3}){3}\b", Check::Mod11_10checksum)),
        ("[DE_VAT]", checked(r"\bDE ?[0-9]{9}\b", Check::Mod11_10checksum)),
        (
            "[FR_NIR]",
            checked(
                r"\b[12][ .\-]?[0-9]{2}[ .\-]?[0-9]{2}[ .\-]?[0-9]{2}[ .\-]?[0-9]{3}[ .\-]?[0-9]{3}[ .\-]?[0-9]{2}\b",
                Check::NirChecksum,
            ),
        ),
        (
            "[NL_BSN]",
            checked(r"\b[0-9]{9}\b", Check::DutchBsnChecksum)
                .with_included_keywords(["bsn", "burgerservicenummer"]),
        ),
        ("[ES_DNI]", checked(r"\b(?:[0-9]{8}|[XYZ][0-9]{7})-?[A-Z]\b", Check::SpanishDniChecksum)),
        (
            "[IT_CF]",
            checked(
                r"\b[A-Z]{6}[0-9]{2}[A-EHLMPRST][0-9]{2}[A-Z][0-9]{3}[A-Z]\b",
                Check::ItalianNationalIdChecksum,
            ),
        ),
        (
            "[PL_PESEL]",
            checked(r"\b[0-9]{11}\b", Check::PolishNationalIdChecksum).with_included_keywords(["pesel"]),
        ),
        (
            "[DOB]",
            near(
                r"\b(?:[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{2}[./][0-9]{2}[./][0-9]{4})\b",
                &["dob", "birth", "born"],
            ),
        ),
        ("[MRN]", near(r"\b(?:MRN|PAT)[0-9]{6,10}\b", &["patient", "mrn"])),
        ("[JWT]", plain(r"\beyJ[A-Za-z0-9_\-]{8,}\.eyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{8,}")),
        ("[BEARER]", plain(r"(?i)\bbearer [A-Za-z0-9._~+/\-]{16,}=*")),
        ("[BASIC_AUTH]", plain(r"(?i)\bbasic [A-Za-z0-9+/]{8,}={0,2}")),
        ("[URL_PASSWORD]", plain(r"\b[a-z][a-z0-9+.\-]{1,20}://[^\s:/@]{0,64}:[^\s:/@]{1,64}@")),
        ("[PEM_KEY]", plain(r"-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----")),
        ("[AWS_KEY]", plain(r"\b(?:AKIA|ASIA)[A-Z2-7]{16}\b")),
        ("[GITHUB_TOKEN]", plain(r"\bgh[pousr]_[A-Za-z0-9]{36}\b")),
        ("[SLACK_TOKEN]", plain(r"\bxox[abprs]-[A-Za-z0-9\-]{10,72}")),
        ("[STRIPE_KEY]", plain(r"\b[sr]k_(?:live|test)_[A-Za-z0-9]{16,99}\b")),
        (
            "[PASSWORD]",
            plain(
                r#"(?i)\b[a-z_]{0,16}(?:password|passwd|pwd|session_id|secret)["']?[=:] ?["']?[^\s"',;]{4,64}"#,
            ),
        ),
    ]
}
