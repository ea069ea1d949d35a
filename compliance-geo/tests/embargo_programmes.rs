//! Lists of programmes: the embedded one, and what is said of those that are not well-formed.

use compliance_geo::embargo::{Chosen, Effect, Embargo, EmbargoBuilder, Policy, ProgrammeList, VerdictClass};

const NOW: &str = "2026-07-01T00:00:00Z";

#[test]
fn embedded_programmes_are_well_formed() {
    let list = ProgrammeList::embedded().unwrap();
    for id in [
        "ofac.cuba",
        "ofac.iran",
        "ofac.north_korea",
        "ofac.syria",
        "ofac.crimea",
        "ear.syria",
        "eu.crimea",
        "un.north_korea",
    ] {
        assert!(list.programme(id).is_some(), "{id}");
    }
    assert_eq!(list.programme("ofac.syria").unwrap().effective_to().unwrap().to_string(), "2025-07-01");
    for programme in list.programmes() {
        // What is less than a general embargo is a reading of the law, and says so.
        let certain = programme.effect() == Effect::Embargo && programme.id().starts_with("ofac.");
        assert!(certain || programme.needs_legal_review().is_some(), "{}", programme.id());
    }
}

#[test]
fn programme_lists_are_checked() {
    let entry = |change: &str| {
        format!(
            "version = \"2026-01-01\"\n[[programme]]\nid = \"own.x\"\nauthority = \"own\"\ntitle = \"t\"\nlegal_basis = \"l\"\nkind = \"export\"\n\
             effect = \"review\"\neffective_from = \"2026-01-01\"\n{change}"
        )
    };
    let code = |text: &str| ProgrammeList::parse(text).map(|_| ()).map_err(|error| error.code());
    assert_eq!(code(&entry("scope = [{ country = \"FR\" }]")), Ok(()));
    assert_eq!(code(&entry("scope = []")), Err("embargo.list_entry"));
    assert_eq!(code(&entry("scope = [{ country = \"ZZ\" }]")), Err("embargo.list_entry"));
    assert_eq!(
        code(&entry("scope = [{ country = \"FR\", subdivision = \"UA-43\" }]")),
        Err("embargo.list_contradiction")
    );
    assert_eq!(
        code(&entry("effective_to = \"2026-01-01\"\nscope = [{ country = \"FR\" }]")),
        Err("embargo.list_contradiction")
    );
    assert_eq!(code(&entry("scope = [{ country = \"FR\" }]\nextra = 1")), Err("embargo.list_syntax"));
    assert_eq!(code("version = \"2026-01-01\""), Err("embargo.list_empty"));
    let twice = entry("scope = [{ country = \"FR\" }]");
    let twice = format!("{twice}\n{}", twice.lines().skip(1).collect::<Vec<_>>().join("\n"));
    assert_eq!(code(&twice), Err("embargo.list_duplicate"));
}

#[test]
fn errors_of_a_list_name_line_programme_and_field() {
    let good = "version = \"2026-01-01\"\n\n[[programme]]\nid = \"own.x\"\nauthority = \"own\"\ntitle = \"t\"\n\
                legal_basis = \"l\"\nkind = \"export\"\neffect = \"review\"\neffective_from = \"2026-01-01\"\n\
                scope = [\n  { country = \"FR\" },\n]\n";
    assert!(ProgrammeList::parse(good).is_ok());
    let check = |from: &str, to: &str, expected: &str| {
        assert!(good.contains(from), "{from}");
        let said = ProgrammeList::parse(&good.replace(from, to)).unwrap_err().to_string();
        assert!(said.contains(expected), "`{said}` does not say `{expected}`");
    };
    check("2026-01-01\"\n\n", "yesterday\"\n\n", "line 1, `version`: expected a day as YYYY-MM-DD");
    check("\"own.x\"", "\"Own X\"", "line 4, `id`: expected dotted lower-case words");
    check("title = \"t\"", "title = \" \"", "line 6, `title` of `own.x`: expected 1 to 400 bytes");
    check(
        "\"2026-01-01\"\nscope",
        "\"1 May\"\nscope",
        "line 10, `effective_from` of `own.x`: expected a day",
    );
    check(
        "\nscope",
        "\neffective_to = \"2025-01-01\"\nscope",
        "line 11, `effective_to` of `own.x`: expected a day after `effective_from`",
    );
    check("\"FR\"", "\"ZZ\"", "line 12, `country` of `own.x`: expected an ISO 3166-1 alpha-2 code");
    check(
        "\"FR\"",
        "\"FR\", subdivision = \"UA-43\"",
        "line 12, `subdivision` of `own.x`: expected a part of the place's `country`",
    );
    check("  { country = \"FR\" },\n", "", "line 11, `scope` of `own.x`: expected at least one place");
    check("effect = ", "effects = ", "unknown field `effects`");
    check("\"review\"", "\"ban\"", "line 9: unknown variant `ban`, expected `embargo` or `review`");
    check("title = \"t\"\n", "", "missing field `title`");
    check("title = \"t\"", "title = 1", "line 6: ");
    let entry = good.split_once("\n\n").unwrap().1;
    let said = ProgrammeList::parse(&format!("{good}{entry}")).unwrap_err().to_string();
    assert!(said.contains("line 15: the id `own.x` is taken"), "{said}");
    // Values may be long; what is said of them is not.
    let long = good.replace("kind = \"export\"", &format!("kind = \"{}\"", "x".repeat(10_000)));
    assert!(ProgrammeList::parse(&long).unwrap_err().to_string().len() < 300);
}

#[test]
fn own_lists_override_by_id_and_say_so() {
    let own = r#"
        version = "2026-10-01"
        [[programme]]
        id = "ear.syria"
        authority = "bis"
        title = "EAR: Syria, as our counsel reads it"
        legal_basis = "15 CFR 746.1"
        kind = "export"
        effect = "embargo"
        effective_from = "2004-05-14"
        scope = [{ country = "SY" }]
    "#;
    let (list, overridden) = ProgrammeList::embedded().unwrap().with(ProgrammeList::parse(own).unwrap());
    assert_eq!(overridden, ["ear.syria".into()]);
    let embargo = Embargo::builder().policy(Policy::Us).programmes(list).build().unwrap();
    let verdict = embargo.screen("5.0.0.1".parse().unwrap(), NOW.parse().unwrap());
    assert_eq!((verdict.class(), verdict.code().as_str()), (VerdictClass::Embargoed, "embargo.country"));
    assert_eq!(embargo.snapshots().count(), 3);
}

#[test]
fn a_check_that_would_let_everybody_pass_is_not_built() {
    let only_own = "version = \"2026-01-01\"\n[[programme]]\nid = \"eu.x\"\nauthority = \"eu\"\ntitle = \"t\"\nlegal_basis = \"l\"\nkind = \"export\"\n\
                    effect = \"review\"\neffective_from = \"2026-01-01\"\nscope = [{ country = \"FR\" }]";
    let list = ProgrammeList::parse(only_own).unwrap();
    let refused = |builder: EmbargoBuilder<Chosen>| builder.build().unwrap_err().code();
    let us = || Embargo::builder().policy(Policy::Us);
    assert_eq!(refused(us().programmes(list.clone())), "embargo.no_programmes");
    // One policy's programmes do not stand in for another's.
    assert_eq!(refused(us().policy(Policy::Eu).programmes(list)), "embargo.no_programmes");
    // Nor do the operator's own.
    let own = only_own.replace("\"eu", "\"own");
    let own = || ProgrammeList::parse(&own).unwrap();
    assert_eq!(refused(us().programmes(own())), "embargo.no_programmes");
    let (both, _) = ProgrammeList::embedded().unwrap().with(own());
    let embargo = us().programmes(both).build().unwrap();
    assert_eq!(embargo.class("5.22.4.4".parse().unwrap(), NOW.parse().unwrap()), VerdictClass::Embargoed);
    assert_eq!("gb".parse::<Policy>().unwrap_err().code(), "embargo.unknown_policy");
}
