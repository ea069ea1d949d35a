//! Which parts the countries of region programmes have: ISO 3166-2, as of [`AS_OF`].
//!
//! A part that a programme does not name is elsewhere only if it is known which part that is. Files hold other codes,
//! too: those of the occupying state for Crimea (`RU-CR`, `RU-SEV`, `UA-KR`), those of other standards (`UA-11`). Who reads
//! them as elsewhere serves Crimea. Codes that are added to the standard later are a review until they are here.

use compliance_core::country::SubdivisionCode;

/// The day of both lists: ISO 3166-2 as in pycountry 26.2.16 (Debian's iso-codes), 27 and 83 codes.
pub(super) const AS_OF: &str = "2026-02-16";

const UA: [&str; 27] = [
    "05", "07", "09", "12", "14", "18", "21", "23", "26", "30", "32", "35", "40", "43", "46", "48", "51",
    "53", "56", "59", "61", "63", "65", "68", "71", "74", "77",
];

const RU: [&str; 83] = [
    "AD", "AL", "ALT", "AMU", "ARK", "AST", "BA", "BEL", "BRY", "BU", "CE", "CHE", "CHU", "CU", "DA", "IN",
    "IRK", "IVA", "KAM", "KB", "KC", "KDA", "KEM", "KGD", "KGN", "KHA", "KHM", "KIR", "KK", "KL", "KLU",
    "KO", "KOS", "KR", "KRS", "KYA", "LEN", "LIP", "MAG", "ME", "MO", "MOS", "MOW", "MUR", "NEN", "NGR",
    "NIZ", "NVS", "OMS", "ORE", "ORL", "PER", "PNZ", "PRI", "PSK", "ROS", "RYA", "SA", "SAK", "SAM", "SAR",
    "SE", "SMO", "SPE", "STA", "SVE", "TA", "TAM", "TOM", "TUL", "TVE", "TY", "TYU", "UD", "ULY", "VGG",
    "VLA", "VLG", "VOR", "YAN", "YAR", "YEV", "ZAB",
];

/// Whether it is known which part of its country a code stands for. Of countries without a list here the form of the
/// code is all there is: a programme of the operator's own for a part of such a country takes every other code for
/// elsewhere.
pub(super) fn is_known(part: SubdivisionCode) -> bool {
    let list: &[&str] = match part.country().as_str() {
        "RU" => &RU,
        "UA" => &UA,
        _ => return true,
    };
    part.as_str().split_once('-').is_some_and(|(_, code)| list.contains(&code))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embargo::ProgrammeList;

    #[test]
    fn every_country_of_an_embedded_region_programme_has_its_list() {
        let list = ProgrammeList::embedded().unwrap();
        for programme in list.programmes() {
            let parts = programme.scope().iter().filter_map(|scope| scope.subdivision());
            let mut countries = programme.networks_may_be_registered_in().to_vec();
            for part in parts {
                assert!(is_known(part), "{}: {part}", programme.id());
                countries.push(part.country());
            }
            for country in countries {
                let nobodys = SubdivisionCode::from_parts(country, "0").unwrap();
                assert!(!is_known(nobodys), "{}: {country} has no list", programme.id());
            }
        }
    }

    #[test]
    fn the_manual_says_of_which_day_the_lists_are() {
        assert!(include_str!("../../README.md").contains(&format!("ISO 3166-2 of {AS_OF}")));
    }
}
