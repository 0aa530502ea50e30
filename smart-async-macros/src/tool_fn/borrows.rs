//! Checks for borrows: parameters and result of the work must be owned values.
//!
//! Only borrows that the tokens show are refused here; the compiler finds the rest (`T: 'static`).

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::visit::{self, Visit};
use syn::{
    BoundLifetimes, FnArg, GenericParam, Lifetime, ParenthesizedGenericArguments, ReturnType,
    Signature, TraitBound, Type, TypeFnPtr, TypeImplTrait, TypeReference,
};

use crate::errors::Errors;

/// Reports each parameter that borrows. Returns whether there is one.
pub(super) fn check_parameters(signature: &Signature, errors: &mut Errors) -> bool {
    let mut is_refused = false;
    for input in &signature.inputs {
        let FnArg::Typed(parameter) = input else { continue };
        if let Some(borrow) = Borrow::find(&parameter.ty) {
            is_refused = true;
            let fix = match &borrow {
                Borrow::Text(_) => "take `String`",
                Borrow::Other(_) => "take an owned value or an `Arc`",
            };
            errors.at(
                borrow.into_tokens(),
                format!("this parameter borrows, and the work may outlive the call; {fix}"),
            );
        }
    }
    is_refused
}

/// Reports a return type that borrows or has no name. Returns whether it does.
pub(super) fn check_output(output: &ReturnType, errors: &mut Errors) -> bool {
    let ReturnType::Type(_, output) = output else { return false };
    let mut is_refused = false;
    if let Some(borrow) = Borrow::find(output) {
        is_refused = true;
        let fix = match &borrow {
            Borrow::Text(_) => "return `String`",
            Borrow::Other(_) => "return an owned value or an `Arc`",
        };
        errors.at(
            borrow.into_tokens(),
            format!("this result borrows, and it may be read after the call has ended; {fix}"),
        );
    }
    let mut unnamed = Unnamed { found: None };
    unnamed.visit_type(output);
    if let Some(unnamed) = unnamed.found {
        is_refused = true;
        errors.at(
            unnamed,
            "the result is put into `Reply<…>`, which needs the name of its type, and `impl Trait` has none; name the \
             type, or box it as `Box<dyn Trait + Send>`",
        );
    }
    is_refused
}

/// The first borrow in a type.
enum Borrow {
    /// `&str`
    Text(TokenStream),
    Other(TokenStream),
}

impl Borrow {
    fn find(ty: &Type) -> Option<Self> {
        let mut finder = Finder { bound: Vec::new(), found: None };
        finder.visit_type(ty);
        finder.found
    }

    fn into_tokens(self) -> TokenStream {
        match self {
            Self::Text(tokens) | Self::Other(tokens) => tokens,
        }
    }
}

struct Finder {
    /// The lifetimes that an enclosing `for<'a>` introduces.
    bound: Vec<Lifetime>,
    found: Option<Borrow>,
}

impl Finder {
    fn is_harmless(&self, lifetime: &Lifetime) -> bool {
        lifetime.ident == "static" || self.bound.contains(lifetime)
    }

    fn record(&mut self, borrow: Borrow) {
        self.found.get_or_insert(borrow);
    }
}

impl<'ast> Visit<'ast> for Finder {
    fn visit_type_reference(&mut self, reference: &'ast TypeReference) {
        if reference.lifetime.as_ref().is_some_and(|lifetime| self.is_harmless(lifetime)) {
            return visit::visit_type_reference(self, reference);
        }
        let tokens = reference.to_token_stream();
        let is_text = reference.mutability.is_none()
            && matches!(&*reference.elem, Type::Path(path) if path.path.is_ident("str"));
        self.record(if is_text { Borrow::Text(tokens) } else { Borrow::Other(tokens) });
    }

    fn visit_lifetime(&mut self, lifetime: &'ast Lifetime) {
        if !self.is_harmless(lifetime) {
            self.record(Borrow::Other(lifetime.to_token_stream()));
        }
    }

    /// Skips the types of `fn(&T) -> &U`: the function borrows only while it runs.
    fn visit_type_fn_ptr(&mut self, _function: &'ast TypeFnPtr) {}

    /// Skips the types of `Fn(&T) -> &U` for the same reason.
    fn visit_parenthesized_generic_arguments(
        &mut self,
        _arguments: &'ast ParenthesizedGenericArguments,
    ) {
    }

    fn visit_trait_bound(&mut self, bound: &'ast TraitBound) {
        let before = self.bound.len();
        if let Some(BoundLifetimes { lifetimes, .. }) = &bound.lifetimes {
            self.bound.extend(lifetimes.iter().filter_map(|parameter| match parameter {
                GenericParam::Lifetime(parameter) => Some(parameter.lifetime.clone()),
                _ => None,
            }));
        }
        visit::visit_trait_bound(self, bound);
        self.bound.truncate(before);
    }
}

/// The first `impl Trait` in a type.
struct Unnamed<'ast> {
    found: Option<&'ast TypeImplTrait>,
}

impl<'ast> Visit<'ast> for Unnamed<'ast> {
    fn visit_type_impl_trait(&mut self, unnamed: &'ast TypeImplTrait) {
        self.found.get_or_insert(unnamed);
    }
}
