//! Distributes a method's attributes over the outer method and the hidden one that has the body.
//!
//! A lint may be about the signature, which both have, or about the body, so an `allow` goes to both. An `expect` can be fulfilled by
//! one only: it goes to the hidden method, and the outer one gets an `allow` in its place.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote, quote_spanned};
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Attribute, Meta, Path, Token};

use super::hygienic;
use crate::tool_attr::ToolAttr;

/// The attributes of the outer method, which callers see.
///
/// Documentation comes last: rmcp drops the description that it made of it if another attribute follows.
pub(super) fn of_outer(attributes: &[Attribute]) -> Vec<TokenStream> {
    let is_documentation = |attribute: &&Attribute| attribute.path().is_ident("doc");
    let others = attributes.iter().filter(|attribute| !is_documentation(attribute));
    let sorted = others.chain(attributes.iter().filter(is_documentation));
    let is_for_outer = |path: &Path| {
        ["doc", "deprecated", "cfg", "cfg_attr", "allow"].iter().any(|name| path.is_ident(name))
            || ToolAttr::is_tool(path)
    };
    sorted
        .filter_map(|attribute| {
            if let Some(expected) = Expectation::read(attribute) {
                Some(expected.for_outer())
            } else {
                is_for_outer(attribute.path()).then(|| attribute.to_token_stream())
            }
        })
        .collect()
}

/// The attributes of the hidden method, which has the body.
pub(super) fn of_hidden(attributes: &[Attribute]) -> Vec<TokenStream> {
    let stays_outside = |path: &Path| {
        path.is_ident("doc") || path.is_ident("deprecated") || ToolAttr::is_tool(path)
    };
    attributes
        .iter()
        .filter_map(|attribute| {
            if let Some(expected) = Expectation::read(attribute) {
                Some(expected.for_hidden())
            } else {
                (!stays_outside(attribute.path())).then(|| attribute.to_token_stream())
            }
        })
        .collect()
}

/// An `#[expect(…)]`.
struct Expectation<'a> {
    attribute: &'a Attribute,
    lints: Vec<Meta>,
    reason: Option<Meta>,
}

impl<'a> Expectation<'a> {
    fn read(attribute: &'a Attribute) -> Option<Self> {
        let Meta::List(list) = &attribute.meta else { return None };
        if !list.path.is_ident("expect") {
            return None;
        }
        let parse = Punctuated::<Meta, Token![,]>::parse_terminated;
        let (reason, lints): (Vec<_>, Vec<_>) = parse
            .parse2(list.tokens.clone())
            .ok()?
            .into_iter()
            .partition(|meta| matches!(meta, Meta::NameValue(_)));
        Some(Self { attribute, lints, reason: reason.into_iter().next() })
    }

    fn for_outer(&self) -> TokenStream {
        let (lints, reason) = (&self.lints, self.reason.iter());
        let span = hygienic(self.attribute.span());
        quote_spanned!(span=> #[allow(#(#lints,)* #(#reason)*)])
    }

    /// `dead_code` is left out: the compiler does not report a name that begins with `_`, so the expectation would never be fulfilled.
    fn for_hidden(&self) -> TokenStream {
        let lints: Vec<_> =
            self.lints.iter().filter(|lint| !lint.path().is_ident("dead_code")).collect();
        if lints.is_empty() {
            return TokenStream::new();
        }
        let (path, reason) = (self.attribute.path(), self.reason.iter());
        quote!(#[#path(#(#lints,)* #(#reason)*)])
    }
}
