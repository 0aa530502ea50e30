//! Collects every error of one use of the attribute, so that all of them are reported at once.
//!
//! Each rule words its own errors; this file only collects them.

use proc_macro2::{Span, TokenStream};
use quote::ToTokens;

/// The errors that were found so far.
#[derive(Default)]
pub(crate) struct Errors {
    found: Option<syn::Error>,
}

impl Errors {
    /// Records an error that underlines `tokens`, or the whole attribute if there are none.
    pub(crate) fn at(&mut self, tokens: impl ToTokens, message: impl std::fmt::Display) {
        let tokens = tokens.into_token_stream();
        if tokens.is_empty() {
            self.at_span(Span::call_site(), message);
        } else {
            self.push(syn::Error::new_spanned(tokens, message));
        }
    }

    /// Records an error that underlines `span`.
    pub(crate) fn at_span(&mut self, span: Span, message: impl std::fmt::Display) {
        self.push(syn::Error::new(span, message));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.found.is_none()
    }

    /// Makes one `compile_error!` of each error, in the order in which the checks found them.
    pub(crate) fn into_compile_errors(self) -> TokenStream {
        self.found.map(syn::Error::into_compile_error).unwrap_or_default()
    }

    fn push(&mut self, error: syn::Error) {
        match &mut self.found {
            Some(found) => found.combine(error),
            None => self.found = Some(error),
        }
    }
}
