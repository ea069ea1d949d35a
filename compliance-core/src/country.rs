//! Countries and their subdivisions: ISO 3166-1 alpha-2 and ISO 3166-2 codes.
//!
//! ```
//! use compliance_core::country::{CountryCode, SubdivisionCode};
//!
//! let ukraine = CountryCode::parse("UA").unwrap();
//! assert_eq!(ukraine.name(), "Ukraine");
//! assert_eq!(CountryCode::parse("ZZ").unwrap_err().code(), "country.not_assigned");
//!
//! let crimea = SubdivisionCode::parse("UA-43").unwrap();
//! assert_eq!(crimea.country(), ukraine);
//! ```

use std::fmt;
use std::str::FromStr;

/// Date on which [`CountryCode`]'s table was checked against the officially assigned codes.
pub const COUNTRY_TABLE_DATE: &str = "2026-02-16";

/// A country, territory or area of ISO 3166-1, by its alpha-2 code.
///
/// The 249 officially assigned codes, and `XK` (Kosovo): user-assigned, so not in the standard, but what the
/// EU, SWIFT, CLDR and IP databases use for it. Nothing else: not the reserved `UK`, `EU`, `SU`, not `ZZ`.
/// One byte; ordered by code.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CountryCode(u8);

impl CountryCode {
    /// How many codes there are.
    pub const COUNT: usize = COUNTRIES.len();

    /// Reads a code of two upper-case letters. Constant time.
    ///
    /// # Errors
    /// [`CountryErrorKind::Shape`] unless `text` is two upper-case ASCII letters,
    /// [`CountryErrorKind::NotAssigned`] when no country has them.
    pub const fn parse(text: &str) -> Result<Self, CountryError> {
        match text.as_bytes() {
            [a, b] => Self::from_letters(*a, *b),
            _ => Err(CountryError { kind: CountryErrorKind::Shape }),
        }
    }

    /// As [`parse`](Self::parse), and takes lower-case letters too. For data from elsewhere (URLs, headers).
    ///
    /// ```
    /// use compliance_core::country::CountryCode;
    ///
    /// assert_eq!(CountryCode::parse_ignore_case("de"), CountryCode::parse("DE"));
    /// assert!(CountryCode::parse("de").is_err());
    /// ```
    ///
    /// # Errors
    /// As [`parse`](Self::parse), for letters of either case.
    pub const fn parse_ignore_case(text: &str) -> Result<Self, CountryError> {
        match text.as_bytes() {
            [a, b] => Self::from_letters(a.to_ascii_uppercase(), b.to_ascii_uppercase()),
            _ => Err(CountryError { kind: CountryErrorKind::Shape }),
        }
    }

    /// Every code, in order.
    pub fn all() -> impl ExactSizeIterator<Item = Self> {
        (0..COUNTRIES_U8).map(Self)
    }

    /// The two letters.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.row().0
    }

    /// The usual English short name, for people to read. Not the standard's official form; not a key.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().1
    }

    fn row(self) -> (&'static str, &'static str) {
        // INVARIANT: the index came from `INDEX`, which holds none past the table.
        COUNTRIES.get(usize::from(self.0)).copied().unwrap_or(("", ""))
    }

    const fn from_letters(a: u8, b: u8) -> Result<Self, CountryError> {
        if !(a.is_ascii_uppercase() && b.is_ascii_uppercase()) {
            return Err(CountryError { kind: CountryErrorKind::Shape });
        }
        match entry(a, b) {
            NONE => Err(CountryError { kind: CountryErrorKind::NotAssigned }),
            index => Ok(Self(index)),
        }
    }
}

impl fmt::Display for CountryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for CountryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for CountryCode {
    type Err = CountryError;

    fn from_str(text: &str) -> Result<Self, CountryError> {
        Self::parse(text)
    }
}

/// A part of a country: a code of ISO 3166-2, such as `UA-43` (Crimea).
///
/// Accepted: an assigned [`CountryCode`], a hyphen, one to three upper-case ASCII letters or digits. Whether the
/// country has such a part is not checked: the standard's list changes several times a year, and a check against
/// an old copy would refuse true places.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubdivisionCode {
    text: [u8; Self::MAX_LEN],
    country: CountryCode,
}

impl SubdivisionCode {
    /// The longest code: two letters, a hyphen, three characters.
    pub const MAX_LEN: usize = 6;

    /// Reads a full code.
    ///
    /// # Errors
    /// [`CountryErrorKind::Shape`] unless `text` has the form above, [`CountryErrorKind::NotAssigned`] when no
    /// country has its first two letters.
    pub fn parse(text: &str) -> Result<Self, CountryError> {
        let (country, part) =
            text.split_once('-').ok_or(CountryError { kind: CountryErrorKind::SubdivisionShape })?;
        Self::from_parts(CountryCode::parse(country)?, part)
    }

    /// Joins a country and the part after the hyphen, as IP databases deliver them.
    ///
    /// ```
    /// use compliance_core::country::{CountryCode, SubdivisionCode};
    ///
    /// let ukraine = CountryCode::parse("UA").unwrap();
    /// assert_eq!(SubdivisionCode::from_parts(ukraine, "43"), SubdivisionCode::parse("UA-43"));
    /// assert!(SubdivisionCode::from_parts(ukraine, "UA-43").is_err());
    /// ```
    ///
    /// # Errors
    /// [`CountryErrorKind::SubdivisionShape`] unless `part` is one to three upper-case ASCII letters or digits.
    pub fn from_parts(country: CountryCode, part: &str) -> Result<Self, CountryError> {
        if !part.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit()) {
            return Err(CountryError { kind: CountryErrorKind::SubdivisionShape });
        }
        let (a, b) = match country.as_str().as_bytes() {
            [a, b] => (*a, *b),
            _ => return Err(CountryError { kind: CountryErrorKind::Shape }),
        };
        let text = match part.as_bytes() {
            [c] => [a, b, b'-', *c, 0, 0],
            [c, d] => [a, b, b'-', *c, *d, 0],
            [c, d, e] => [a, b, b'-', *c, *d, *e],
            _ => return Err(CountryError { kind: CountryErrorKind::SubdivisionShape }),
        };
        Ok(Self { text, country })
    }

    /// The country the part belongs to.
    #[must_use]
    pub const fn country(&self) -> CountryCode {
        self.country
    }

    /// The full code.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // INVARIANT: ASCII, padded with NUL at the end.
        std::str::from_utf8(&self.text).unwrap_or_default().trim_end_matches('\0')
    }

    /// What stands after the hyphen.
    #[must_use]
    pub fn part(&self) -> &str {
        self.as_str().split_once('-').map_or("", |(_, part)| part)
    }
}

impl fmt::Display for SubdivisionCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for SubdivisionCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for SubdivisionCode {
    type Err = CountryError;

    fn from_str(text: &str) -> Result<Self, CountryError> {
        Self::parse(text)
    }
}

/// A code that is no country or subdivision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind}")]
pub struct CountryError {
    kind: CountryErrorKind,
}

impl CountryError {
    /// What was wrong.
    #[must_use]
    pub const fn kind(&self) -> CountryErrorKind {
        self.kind
    }

    /// The stable code, for metrics.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self.kind {
            CountryErrorKind::NotAssigned => "country.not_assigned",
            CountryErrorKind::Shape => "country.shape",
            CountryErrorKind::SubdivisionShape => "country.subdivision_shape",
        }
    }
}

/// What was wrong with a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CountryErrorKind {
    /// Two letters, but no country has them.
    #[error("country code is not assigned in ISO 3166-1")]
    NotAssigned,
    /// Not two letters of the case asked for.
    #[error("country code is not two upper-case ASCII letters")]
    Shape,
    /// Not a country code, a hyphen and one to three upper-case letters or digits.
    #[error("subdivision code is not a country code, a hyphen and 1 to 3 upper-case ASCII letters or digits")]
    SubdivisionShape,
}

#[cfg(feature = "serde")]
mod serde_impls {
    use std::borrow::Cow;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{CountryCode, SubdivisionCode};

    impl Serialize for CountryCode {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_str(self.as_str())
        }
    }

    impl<'de> Deserialize<'de> for CountryCode {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            // The inner error is dropped: it quotes the value.
            let text = Cow::<'de, str>::deserialize(deserializer)
                .map_err(|_| D::Error::custom("expected a country code as text"))?;
            Self::parse(&text).map_err(D::Error::custom)
        }
    }

    impl Serialize for SubdivisionCode {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_str(self.as_str())
        }
    }

    impl<'de> Deserialize<'de> for SubdivisionCode {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let text = Cow::<'de, str>::deserialize(deserializer)
                .map_err(|_| D::Error::custom("expected a subdivision code as text"))?;
            Self::parse(&text).map_err(D::Error::custom)
        }
    }
}

/// Marks a pair of letters that no country has.
const NONE: u8 = u8::MAX;

/// Where in [`COUNTRIES`] a pair of letters stands, by `26 * first + second`.
static INDEX: [u8; 26 * 26] = index();

#[expect(
    clippy::indexing_slicing,
    reason = "called with upper-case letters only, which cannot leave the table; const code has no `get`"
)]
const fn entry(a: u8, b: u8) -> u8 {
    INDEX[slot(a, b)]
}

#[expect(clippy::arithmetic_side_effects, reason = "called with upper-case letters only")]
const fn slot(a: u8, b: u8) -> usize {
    (a - b'A') as usize * 26 + (b - b'A') as usize
}

#[expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "evaluated at compile time, where a mistake fails the build"
)]
const fn index() -> [u8; 26 * 26] {
    assert!(COUNTRIES.len() < NONE as usize, "an index fits a byte");
    let mut index = [NONE; 26 * 26];
    let mut row = 0;
    let mut previous = 0;
    while row < COUNTRIES.len() {
        let code = COUNTRIES[row].0.as_bytes();
        assert!(code.len() == 2 && code[0].is_ascii_uppercase() && code[1].is_ascii_uppercase());
        let slot = slot(code[0], code[1]);
        assert!(row == 0 || slot > previous, "rows are in order, so that codes are too");
        index[slot] = row as u8;
        previous = slot;
        row += 1;
    }
    index
}

#[expect(clippy::cast_possible_truncation, reason = "`index` asserts that the table is shorter than 255")]
const COUNTRIES_U8: u8 = COUNTRIES.len() as u8;

/// Code and usual English name. To refresh: compare the codes with the ISO Online Browsing Platform, and set
/// [`COUNTRY_TABLE_DATE`].
#[rustfmt::skip]
const COUNTRIES: [(&str, &str); 250] = [
    ("AD", "Andorra"), ("AE", "United Arab Emirates"), ("AF", "Afghanistan"), ("AG", "Antigua and Barbuda"),
    ("AI", "Anguilla"), ("AL", "Albania"), ("AM", "Armenia"), ("AO", "Angola"), ("AQ", "Antarctica"),
    ("AR", "Argentina"), ("AS", "American Samoa"), ("AT", "Austria"), ("AU", "Australia"), ("AW", "Aruba"),
    ("AX", "Åland Islands"), ("AZ", "Azerbaijan"), ("BA", "Bosnia and Herzegovina"), ("BB", "Barbados"),
    ("BD", "Bangladesh"), ("BE", "Belgium"), ("BF", "Burkina Faso"), ("BG", "Bulgaria"), ("BH", "Bahrain"),
    ("BI", "Burundi"), ("BJ", "Benin"), ("BL", "Saint Barthélemy"), ("BM", "Bermuda"), ("BN", "Brunei"),
    ("BO", "Bolivia"), ("BQ", "Caribbean Netherlands"), ("BR", "Brazil"), ("BS", "Bahamas"), ("BT", "Bhutan"),
    ("BV", "Bouvet Island"), ("BW", "Botswana"), ("BY", "Belarus"), ("BZ", "Belize"), ("CA", "Canada"),
    ("CC", "Cocos (Keeling) Islands"), ("CD", "Congo (Kinshasa)"), ("CF", "Central African Republic"),
    ("CG", "Congo (Brazzaville)"), ("CH", "Switzerland"), ("CI", "Côte d’Ivoire"), ("CK", "Cook Islands"),
    ("CL", "Chile"), ("CM", "Cameroon"), ("CN", "China"), ("CO", "Colombia"), ("CR", "Costa Rica"),
    ("CU", "Cuba"), ("CV", "Cabo Verde"), ("CW", "Curaçao"), ("CX", "Christmas Island"), ("CY", "Cyprus"),
    ("CZ", "Czechia"), ("DE", "Germany"), ("DJ", "Djibouti"), ("DK", "Denmark"), ("DM", "Dominica"),
    ("DO", "Dominican Republic"), ("DZ", "Algeria"), ("EC", "Ecuador"), ("EE", "Estonia"), ("EG", "Egypt"),
    ("EH", "Western Sahara"), ("ER", "Eritrea"), ("ES", "Spain"), ("ET", "Ethiopia"), ("FI", "Finland"),
    ("FJ", "Fiji"), ("FK", "Falkland Islands"), ("FM", "Micronesia"), ("FO", "Faroe Islands"),
    ("FR", "France"), ("GA", "Gabon"), ("GB", "United Kingdom"), ("GD", "Grenada"), ("GE", "Georgia"),
    ("GF", "French Guiana"), ("GG", "Guernsey"), ("GH", "Ghana"), ("GI", "Gibraltar"), ("GL", "Greenland"),
    ("GM", "Gambia"), ("GN", "Guinea"), ("GP", "Guadeloupe"), ("GQ", "Equatorial Guinea"), ("GR", "Greece"),
    ("GS", "South Georgia and the South Sandwich Islands"), ("GT", "Guatemala"), ("GU", "Guam"),
    ("GW", "Guinea-Bissau"), ("GY", "Guyana"), ("HK", "Hong Kong"),
    ("HM", "Heard Island and McDonald Islands"), ("HN", "Honduras"), ("HR", "Croatia"), ("HT", "Haiti"),
    ("HU", "Hungary"), ("ID", "Indonesia"), ("IE", "Ireland"), ("IL", "Israel"), ("IM", "Isle of Man"),
    ("IN", "India"), ("IO", "British Indian Ocean Territory"), ("IQ", "Iraq"), ("IR", "Iran"),
    ("IS", "Iceland"), ("IT", "Italy"), ("JE", "Jersey"), ("JM", "Jamaica"), ("JO", "Jordan"),
    ("JP", "Japan"), ("KE", "Kenya"), ("KG", "Kyrgyzstan"), ("KH", "Cambodia"), ("KI", "Kiribati"),
    ("KM", "Comoros"), ("KN", "Saint Kitts and Nevis"), ("KP", "North Korea"), ("KR", "South Korea"),
    ("KW", "Kuwait"), ("KY", "Cayman Islands"), ("KZ", "Kazakhstan"), ("LA", "Laos"), ("LB", "Lebanon"),
    ("LC", "Saint Lucia"), ("LI", "Liechtenstein"), ("LK", "Sri Lanka"), ("LR", "Liberia"), ("LS", "Lesotho"),
    ("LT", "Lithuania"), ("LU", "Luxembourg"), ("LV", "Latvia"), ("LY", "Libya"), ("MA", "Morocco"),
    ("MC", "Monaco"), ("MD", "Moldova"), ("ME", "Montenegro"), ("MF", "Saint Martin (French part)"),
    ("MG", "Madagascar"), ("MH", "Marshall Islands"), ("MK", "North Macedonia"), ("ML", "Mali"),
    ("MM", "Myanmar"), ("MN", "Mongolia"), ("MO", "Macao"), ("MP", "Northern Mariana Islands"),
    ("MQ", "Martinique"), ("MR", "Mauritania"), ("MS", "Montserrat"), ("MT", "Malta"), ("MU", "Mauritius"),
    ("MV", "Maldives"), ("MW", "Malawi"), ("MX", "Mexico"), ("MY", "Malaysia"), ("MZ", "Mozambique"),
    ("NA", "Namibia"), ("NC", "New Caledonia"), ("NE", "Niger"), ("NF", "Norfolk Island"), ("NG", "Nigeria"),
    ("NI", "Nicaragua"), ("NL", "Netherlands"), ("NO", "Norway"), ("NP", "Nepal"), ("NR", "Nauru"),
    ("NU", "Niue"), ("NZ", "New Zealand"), ("OM", "Oman"), ("PA", "Panama"), ("PE", "Peru"),
    ("PF", "French Polynesia"), ("PG", "Papua New Guinea"), ("PH", "Philippines"), ("PK", "Pakistan"),
    ("PL", "Poland"), ("PM", "Saint Pierre and Miquelon"), ("PN", "Pitcairn Islands"), ("PR", "Puerto Rico"),
    ("PS", "Palestine"), ("PT", "Portugal"), ("PW", "Palau"), ("PY", "Paraguay"), ("QA", "Qatar"),
    ("RE", "Réunion"), ("RO", "Romania"), ("RS", "Serbia"), ("RU", "Russia"), ("RW", "Rwanda"),
    ("SA", "Saudi Arabia"), ("SB", "Solomon Islands"), ("SC", "Seychelles"), ("SD", "Sudan"),
    ("SE", "Sweden"), ("SG", "Singapore"), ("SH", "Saint Helena, Ascension and Tristan da Cunha"),
    ("SI", "Slovenia"), ("SJ", "Svalbard and Jan Mayen"), ("SK", "Slovakia"), ("SL", "Sierra Leone"),
    ("SM", "San Marino"), ("SN", "Senegal"), ("SO", "Somalia"), ("SR", "Suriname"), ("SS", "South Sudan"),
    ("ST", "São Tomé and Príncipe"), ("SV", "El Salvador"), ("SX", "Sint Maarten (Dutch part)"),
    ("SY", "Syria"), ("SZ", "Eswatini"), ("TC", "Turks and Caicos Islands"), ("TD", "Chad"),
    ("TF", "French Southern Territories"), ("TG", "Togo"), ("TH", "Thailand"), ("TJ", "Tajikistan"),
    ("TK", "Tokelau"), ("TL", "Timor-Leste"), ("TM", "Turkmenistan"), ("TN", "Tunisia"), ("TO", "Tonga"),
    ("TR", "Türkiye"), ("TT", "Trinidad and Tobago"), ("TV", "Tuvalu"), ("TW", "Taiwan"), ("TZ", "Tanzania"),
    ("UA", "Ukraine"), ("UG", "Uganda"), ("UM", "United States Outlying Islands"), ("US", "United States"),
    ("UY", "Uruguay"), ("UZ", "Uzbekistan"), ("VA", "Vatican City"),
    ("VC", "Saint Vincent and the Grenadines"), ("VE", "Venezuela"), ("VG", "British Virgin Islands"),
    ("VI", "United States Virgin Islands"), ("VN", "Vietnam"), ("VU", "Vanuatu"), ("WF", "Wallis and Futuna"),
    ("WS", "Samoa"), ("XK", "Kosovo"), ("YE", "Yemen"), ("YT", "Mayotte"), ("ZA", "South Africa"),
    ("ZM", "Zambia"), ("ZW", "Zimbabwe"),
];
