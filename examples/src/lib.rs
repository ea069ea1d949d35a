//! Joins the crates: the README's snippets compile here, the programs are `signup` and `toolbox`, and whatever tests
//! two siblings together is in `tests/`.

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
