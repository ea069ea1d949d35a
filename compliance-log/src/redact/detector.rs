//! What is looked for: one [`Detector`] per kind of value.

use std::fmt;

use compliance_core::class::DataClass;
use compliance_core::finding::ReasonCode;
use compliance_core::reason_code;

use super::text::Text;
use super::words::WordSet;

macro_rules! detectors {
    ($($(#[$doc:meta])* $variant:ident $name:literal $code:literal $class:ident $rank:literal $standard:literal;)*) => {
        /// A kind of value the redactor looks for.
        ///
        /// ```
        /// use compliance_log::redact::Detector;
        ///
        /// assert_eq!(Detector::Iban.name(), "IBAN");
        /// assert_eq!(Detector::Iban.placeholder(), "[IBAN]");
        /// assert_eq!(Detector::Iban.code().as_str(), "redact.iban");
        /// ```
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Detector {
            $($(#[$doc])* #[doc = concat!("\n\nType name `", $name, "`; ", $standard, ".")] $variant,)*
        }

        impl Detector {
            /// Every detector, by name of family.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            const NAMES: &'static [&'static str] = &[$($name),*];

            /// The type name: what reports and metrics call a hit.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What stands in a hit's place.
            #[must_use]
            pub const fn placeholder(self) -> &'static str {
                match self { $(Self::$variant => concat!("[", $name, "]"),)* }
            }

            /// The stable reason code.
            #[must_use]
            pub fn code(self) -> ReasonCode {
                match self { $(Self::$variant => reason_code!($code),)* }
            }

            /// The class of the values it finds.
            #[must_use]
            pub const fn class(self) -> DataClass {
                match self { $(Self::$variant => DataClass::$class,)* }
            }

            /// The standard or publication the shape and its check come from.
            #[must_use]
            pub const fn standard(self) -> &'static str {
                match self { $(Self::$variant => $standard,)* }
            }

            /// Which detector names a range that several found: the higher rank knows more of the value.
            pub(crate) const fn rank(self) -> u8 {
                match self { $(Self::$variant => $rank,)* }
            }
        }
    };
}

detectors! {
    /// A mail address, internationalised ones included.
    Email "EMAIL" "redact.email" Personal 60 "RFC 5321, RFC 6531, RFC 5891";
    /// A telephone number: international, or national next to a word that announces one.
    Phone "PHONE" "redact.phone" Personal 40 "ITU-T E.164";
    /// An IPv4 address; private, loopback, unspecified addresses and netmasks are kept.
    Ipv4 "IPV4" "redact.ipv4" Personal 50 "RFC 791, RFC 1918";
    /// An IPv6 address; loopback and unspecified are kept, link-local is not: it may carry a MAC address.
    Ipv6 "IPV6" "redact.ipv6" Personal 52 "RFC 4291, RFC 5952";
    /// A hardware address.
    Mac "MAC" "redact.mac" Personal 51 "IEEE 802, EUI-48 and EUI-64";
    /// A payment card number.
    CreditCard "CREDIT_CARD" "redact.credit_card" Confidential 70 "ISO/IEC 7812-1";
    /// A card verification value next to a word that announces one.
    Cvv "CVV" "redact.cvv" Secret 45 "PCI DSS 4.0";
    /// An international bank account number.
    Iban "IBAN" "redact.iban" Personal 71 "ISO 13616-1, ISO/IEC 7064 MOD 97-10";
    /// A person's name next to a word that announces one.
    Person "PERSON" "redact.person" Personal 10 "shape and context";
    /// A date of birth next to a word that announces one.
    Dob "DOB" "redact.dob" Personal 30 "ISO 8601 and national notations";
    /// A patient's or member's number next to a word that announces one.
    Mrn "MRN" "redact.mrn" Sensitive 25 "shape and context";
    /// A passport number next to a word that announces one.
    Passport "PASSPORT" "redact.passport" Personal 35 "ICAO Doc 9303";
    /// A national identifier of another kind next to a word that announces one.
    NationalId "NATIONAL_ID" "redact.national_id" Personal 20 "shape and context";
    /// A United States social security number.
    UsSsn "US_SSN" "redact.us_ssn" Personal 65 "SSA POMS RM 10201";
    /// A United States individual taxpayer number.
    UsItin "US_ITIN" "redact.us_itin" Personal 65 "IRS Publication 1915";
    /// A United States employer number.
    UsEin "US_EIN" "redact.us_ein" Personal 65 "IRS Publication 1635";
    /// A United Kingdom national insurance number.
    UkNino "UK_NINO" "redact.uk_nino" Personal 65 "HMRC NIM39110";
    /// A United Kingdom health service number.
    UkNhs "UK_NHS" "redact.uk_nhs" Sensitive 65 "NHS Data Dictionary, modulus 11";
    /// A German tax identifier.
    DeTaxId "DE_TAX_ID" "redact.de_tax_id" Personal 65 "§ 139b AO, ISO/IEC 7064 MOD 11,10";
    /// A German VAT number.
    DeVat "DE_VAT" "redact.de_vat" Personal 65 "§ 27a UStG, ISO/IEC 7064 MOD 11,10";
    /// A German identity card number.
    DeIdCard "DE_ID_CARD" "redact.de_id_card" Personal 65 "ICAO Doc 9303 part 3";
    /// A German pension insurance number.
    DeRvnr "DE_RVNR" "redact.de_rvnr" Personal 65 "§ 2 VKVV";
    /// An Austrian social insurance number.
    AtSvnr "AT_SVNR" "redact.at_svnr" Personal 65 "§ 31 ASVG";
    /// A Swiss insured person's number.
    ChAhv "CH_AHV" "redact.ch_ahv" Personal 66 "Art. 50c AHVG, EAN-13";
    /// A French social security number.
    FrNir "FR_NIR" "redact.fr_nir" Personal 66 "INSEE NIR, modulus 97";
    /// A Dutch citizen service number.
    NlBsn "NL_BSN" "redact.nl_bsn" Personal 65 "Wabb, eleven test";
    /// A Belgian national register number.
    BeNrn "BE_NRN" "redact.be_nrn" Personal 65 "Rijksregister, modulus 97";
    /// A Spanish identity number.
    EsDni "ES_DNI" "redact.es_dni" Personal 65 "RD 1553/2005, modulus 23";
    /// A Spanish foreigner's number.
    EsNie "ES_NIE" "redact.es_nie" Personal 65 "RD 557/2011, modulus 23";
    /// An Italian tax code.
    ItCf "IT_CF" "redact.it_cf" Personal 66 "DM 23/12/1976";
    /// A Portuguese tax number.
    PtNif "PT_NIF" "redact.pt_nif" Personal 65 "DL 14/2013, modulus 11";
    /// A Polish population number.
    PlPesel "PL_PESEL" "redact.pl_pesel" Personal 65 "PESEL, weights 1 3 7 9";
    /// A Swedish personal number.
    SePnr "SE_PNR" "redact.se_pnr" Personal 65 "SKV 704, Luhn";
    /// A Finnish personal identity code.
    FiHetu "FI_HETU" "redact.fi_hetu" Personal 66 "Laki 661/2009, modulus 31";
    /// A Norwegian birth number.
    NoFnr "NO_FNR" "redact.no_fnr" Personal 65 "Folkeregisterforskriften, modulus 11";
    /// A Danish personal number.
    DkCpr "DK_CPR" "redact.dk_cpr" Personal 65 "CPR-loven";
    /// A Czech or Slovak birth number.
    CzRc "CZ_RC" "redact.cz_rc" Personal 65 "zákon 133/2000, modulus 11";
    /// A Brazilian personal tax number.
    BrCpf "BR_CPF" "redact.br_cpf" Personal 65 "Receita Federal, modulus 11";
    /// A Brazilian company tax number.
    BrCnpj "BR_CNPJ" "redact.br_cnpj" Personal 65 "Receita Federal, modulus 11";
    /// An Indian Aadhaar number.
    InAadhaar "IN_AADHAAR" "redact.in_aadhaar" Personal 65 "UIDAI, Verhoeff";
    /// An Indian permanent account number.
    InPan "IN_PAN" "redact.in_pan" Personal 64 "Income Tax Rules 1962, rule 114";
    /// An Australian tax file number.
    AuTfn "AU_TFN" "redact.au_tfn" Personal 65 "ATO, modulus 11";
    /// An Australian Medicare number.
    AuMedicare "AU_MEDICARE" "redact.au_medicare" Sensitive 65 "Services Australia, modulus 10";
    /// A Canadian social insurance number.
    CaSin "CA_SIN" "redact.ca_sin" Personal 65 "Service Canada, Luhn";
    /// A password next to a key that announces one.
    Password "PASSWORD" "redact.password" Secret 80 "CWE-532";
    /// A password in a URL.
    UrlPassword "URL_PASSWORD" "redact.url_password" Secret 79 "RFC 3986 section 3.2.1";
    /// A session identifier.
    SessionId "SESSION_ID" "redact.session_id" Secret 78 "CWE-532";
    /// A cookie's value.
    Cookie "COOKIE" "redact.cookie" Secret 20 "RFC 6265 section 4";
    /// A bearer token.
    Bearer "BEARER" "redact.bearer" Secret 81 "RFC 6750 section 2.1";
    /// Basic authentication.
    BasicAuth "BASIC_AUTH" "redact.basic_auth" Secret 82 "RFC 7617 section 2";
    /// A JSON web token, signed or encrypted.
    Jwt "JWT" "redact.jwt" Secret 90 "RFC 7519, RFC 7515, RFC 7516";
    /// A private key.
    PemKey "PEM_KEY" "redact.pem_key" Secret 95 "RFC 7468";
    /// An Amazon access key.
    AwsKey "AWS_KEY" "redact.aws_key" Secret 91 "AWS IAM unique identifiers";
    /// An Azure key or shared access signature.
    AzureKey "AZURE_KEY" "redact.azure_key" Secret 91 "Azure Storage connection strings";
    /// A Google key, token or client secret.
    GoogleKey "GOOGLE_KEY" "redact.google_key" Secret 91 "Google Cloud API keys";
    /// A GitHub token.
    GithubToken "GITHUB_TOKEN" "redact.github_token" Secret 92 "GitHub token formats";
    /// A GitLab token.
    GitlabToken "GITLAB_TOKEN" "redact.gitlab_token" Secret 92 "GitLab token prefixes";
    /// A Slack token or webhook.
    SlackToken "SLACK_TOKEN" "redact.slack_token" Secret 92 "Slack token types";
    /// A Stripe key.
    StripeKey "STRIPE_KEY" "redact.stripe_key" Secret 92 "Stripe API keys";
    /// A key of a service with a documented prefix.
    ApiKey "API_KEY" "redact.api_key" Secret 85 "the vendor's documentation";
    /// A secret next to a key that announces one.
    Secret "SECRET" "redact.secret" Secret 76 "CWE-532";
    /// What a detector of the service's own found; its placeholder has that detector's name.
    Custom "CUSTOM" "redact.custom" Confidential 77 "the service's own";
    /// Geographic coordinates next to a word that announces them. Off by default.
    Geo "GEO" "redact.geo" Personal 15 "ISO 6709";
    /// Text that could not be inspected, and is not passed on.
    Dropped "DROPPED" "redact.dropped" Secret 255 "CWE-532";
}

impl fmt::Display for Detector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

static NAMES: WordSet = WordSet::new(Detector::NAMES);

/// The length of the pseudonym that starts `text`, if one does: `pn1_`, eight digits, a number, 32 digits.
fn pseudonym_len(text: &[u8]) -> Option<usize> {
    let rest = text.strip_prefix(b"pn1_")?;
    let hex = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
    let (key, rest) = rest.split_at_checked(8)?;
    let rest = rest.strip_prefix(b"_")?;
    let epoch = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let rest = rest.get(epoch..)?.strip_prefix(b"_")?;
    let (token, rest) = rest.split_at_checked(32)?;
    let ends = !rest.first().is_some_and(|byte| byte.is_ascii_alphanumeric());
    let sound = (1..=10).contains(&epoch) && key.iter().chain(token).all(hex) && ends;
    sound.then(|| text.len().saturating_sub(rest.len()))
}

/// The length of the placeholder that starts `text`, if one does.
#[inline]
pub(crate) fn placeholder_len(text: &[u8]) -> Option<usize> {
    match text.first() {
        Some(b'[') => bracketed_len(text),
        _ => pseudonym_len(text),
    }
}

/// The length of the bracketed placeholder at `at`, if one stands there.
#[inline]
pub(crate) fn placeholder_at(text: Text<'_>, at: usize) -> Option<usize> {
    if text.at(at) != b'[' {
        return None;
    }
    bracketed_len(text.slice(at, text.len().min(at.saturating_add(LONGEST_NAME + 2))))
}

/// Whether `text` is a placeholder.
pub(crate) fn is_placeholder(text: &[u8]) -> bool {
    placeholder_len(text) == Some(text.len())
}

/// The longest type name, in bytes.
const LONGEST_NAME: usize = 16;
const _: () = {
    let mut left = Detector::NAMES;
    while let [name, rest @ ..] = left {
        assert!(name.len() <= LONGEST_NAME);
        left = rest;
    }
};

fn bracketed_len(text: &[u8]) -> Option<usize> {
    let rest = text.strip_prefix(b"[")?;
    if !rest.first().is_some_and(u8::is_ascii_uppercase) {
        return None;
    }
    let rest = rest.get(..LONGEST_NAME + 1).unwrap_or(rest);
    let end = rest.iter().position(|byte| *byte == b']')?;
    let name = rest.get(..end)?;
    NAMES.has_exactly(name).then(|| name.len().saturating_add(2))
}
