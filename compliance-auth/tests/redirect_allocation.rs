//! What is refused by its looks, or for its origin, costs no allocation: not for a flood of hostile targets either.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;

use compliance_auth::redirect::{RedirectErrorKind as Kind, RedirectPolicy, RegisteredRedirectUris};

/// Counts what each thread asks for.
struct Counting;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[expect(unsafe_code, reason = "an allocator cannot be written without")]
// SAFETY: every call goes to `System` as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps `alloc`'s contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps `dealloc`'s contract; `pointer` is `System`'s.
        unsafe { System.dealloc(pointer, layout) }
    }
}

fn allocations<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = COUNT.with(Cell::get);
    let result = black_box(work());
    (result, COUNT.with(Cell::get) - before)
}

#[test]
fn refusals_of_the_first_three_rules_do_not_allocate() {
    let policy = RedirectPolicy::builder("https://app.example/login")
        .allow("https://partner.example".parse().unwrap())
        .allow("https://*.example.net".parse().unwrap())
        .build()
        .unwrap();
    let long = "a".repeat(RedirectPolicy::MAX_LEN + 1);
    for (target, expected) in [
        ("", Kind::Empty),
        (long.as_str(), Kind::TooLong),
        ("/\\evil.example", Kind::Backslash),
        ("/\t/evil.example", Kind::Control),
        ("/ü\u{2028}", Kind::Whitespace),
        ("//evil.example", Kind::NetworkPath),
        ("javascript:alert(1)", Kind::Scheme),
        ("https:evil.example", Kind::NotHierarchical),
        ("https://app.example@evil.example/", Kind::UserInfo),
        ("https://äpp.example/", Kind::Authority),
        ("https://evil.example/", Kind::OtherOrigin),
        ("https://EVIL.EXAMPLE/", Kind::OtherOrigin),
        ("https://A..Example.Net/", Kind::OtherOrigin),
        ("https://EVILexample.net/", Kind::OtherOrigin),
        ("https://A.Example.Net:8443/", Kind::OtherPort),
        ("https://app.example:80/", Kind::OtherPort),
    ] {
        let (result, count) = allocations(|| policy.check(target));
        assert_eq!((result.unwrap_err().kind(), count), (expected, 0), "{target}");
    }
    // The counter counts.
    assert!(allocations(|| policy.check("/home")).1 > 0);
}

#[test]
fn a_refused_redirect_uri_does_not_allocate() {
    let client = RegisteredRedirectUris::parse(["https://app.example/cb", "http://127.0.0.1/cb"]).unwrap();
    for uri in ["https://evil.example/cb", "http://127.0.0.1:99999/cb", ""] {
        let (result, count) = allocations(|| client.check(uri));
        assert_eq!((result.is_err(), count), (true, 0), "{uri}");
    }
    assert!(allocations(|| client.check("https://app.example/cb")).1 > 0);
}
