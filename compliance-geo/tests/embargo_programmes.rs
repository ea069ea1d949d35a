//! Lists of programmes: the embedded one, and what is said of those that are not well-formed.

use compliance_geo::embargo::{Effect, ProgrammeList};

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
