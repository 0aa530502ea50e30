//! What the attribute refuses, and how it says so: one case a rule, listed in `ui/README.md`.

#[test]
fn every_refusal_says_what_why_and_the_fix() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
