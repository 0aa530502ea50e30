//! Code generation: one constant and one call around the author's body, or the errors beside the untouched function.
//!
//! The input is checked already. Generated names inside bodies have the hygiene of the macro, so that they cannot clash with the
//! author's.

mod attributes;

use std::time::Duration;

use proc_macro2::{Delimiter, Group, Ident, Literal, Span, TokenStream};
use quote::{ToTokens, TokenStreamExt, format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::parse::Parser;
use syn::spanned::Spanned;
use syn::{Attribute, GenericParam, Pat, PatIdent, Signature, parse_quote};

use crate::args::{Args, OnCancel, OnDisconnect};
use crate::errors::Errors;
use crate::tool_fn::{AnnotatedFn, Parameter, ParameterName, Refusal, ToolFn};

/// Expands one use of the attribute.
pub(crate) fn expand(attribute: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let args = Args::parse(attribute, &mut errors);
    let mut annotated = match syn::parse2::<AnnotatedFn>(item.clone()) {
        Ok(annotated) => annotated,
        Err(error) => {
            errors.at_span(
                error.span(),
                format!(
                    "`#[smart_async]` goes on a function with a body: {}",
                    what_else(&item, &error)
                ),
            );
            let errors = errors.into_compile_errors();
            return quote!(#errors #item);
        }
    };
    annotated.take_repeated(&mut errors);
    match ToolFn::check(&annotated, &args, &mut errors) {
        Ok(function) if errors.is_empty() => Expansion::new(&function, &args).emit(),
        Ok(_) => refused(&annotated, &Refusal::default(), errors),
        Err(refusal) => refused(&annotated, &refusal, errors),
    }
}

/// The reason why the item is no function.
fn what_else(item: &TokenStream, error: &syn::Error) -> String {
    let first = item.clone().into_iter().find_map(|token| match token {
        proc_macro2::TokenTree::Ident(word) => Some(word.to_string()).filter(|word| word != "pub"),
        _ => None,
    });
    match first.as_deref() {
        Some(word @ ("impl" | "trait" | "mod")) => {
            format!("this is a whole `{word}`; put it on each function that becomes a job")
        }
        _ => error.to_string(),
    }
}

/// The errors beside the unchanged function, so that its callers make no errors of their own.
///
/// If `#[tool]` would report the signature too, an empty tool of that name takes its place in the router.
fn refused(annotated: &AnnotatedFn, refusal: &Refusal, errors: Errors) -> TokenStream {
    let errors = errors.into_compile_errors();
    let Some((place, tool)) = annotated.tool().filter(|_| refusal.tool_would_complain) else {
        return quote!(#errors #annotated);
    };
    let AnnotatedFn { attributes, visibility, signature, body: _ } = annotated;
    let name = &signature.ident;
    let receiver = signature.receiver().map(|_| quote!(&self));
    let tool = tool.without_local();
    let beside = AnnotatedFn {
        attributes: attributes
            .iter()
            .enumerate()
            .filter(|(each, _)| *each != place)
            .map(|(_, attribute)| attribute.clone())
            .chain([parse_quote!(#[allow(dead_code)])])
            .collect(),
        visibility: syn::Visibility::Inherited,
        signature: Signature {
            ident: format_ident!("__smart_async_refused__{name}", span = name.span()),
            ..signature.clone()
        },
        body: annotated.body.clone(),
    };
    quote! {
        #errors
        #tool
        #visibility async fn #name(#receiver) {}
        #beside
    }
}

/// The input of code generation for one function.
struct Expansion<'a> {
    function: &'a ToolFn<'a>,
    args: &'a Args,
    /// The path of the crate's hidden module.
    private: TokenStream,
    root: TokenStream,
}

impl<'a> Expansion<'a> {
    fn new(function: &'a ToolFn<'a>, args: &'a Args) -> Self {
        let root = match &args.root {
            Some(root) => root.value.to_token_stream(),
            None => quote!(::smart_async),
        };
        Self { function, args, private: quote!(#root::__private), root }
    }

    fn emit(&self) -> TokenStream {
        match self.function.receiver {
            Some(receiver) => self.method(receiver),
            None => self.in_place(),
        }
    }

    /// Generates a method, whose body moves to a hidden method of the same `impl`.
    ///
    /// The compiler prints the hidden method's name as an error in the `impl` of a trait, so the name says what is needed. It
    /// begins with `_`, so that the compiler's warning of a method that nothing calls is about the outer one alone.
    fn method(&self, receiver: &syn::Token![self]) -> TokenStream {
        let AnnotatedFn { attributes, visibility, signature, .. } = self.function.annotated;
        let hidden_name = format_ident!(
            "__smart_async_needs_an_inherent_impl__{}",
            signature.ident.unraw(),
            span = Span::call_site()
        );

        let outer_attributes = attributes::of_outer(&self.with_extended_tool());
        let outer_signature = self.outer_signature();
        let span = hygienic(signature.ident.span());
        let this = Ident::new("this", span);
        let private = &self.private;
        let probe = self.type_probe();
        let turbofish = turbofish(signature);
        let arguments = self.function.parameters.iter().map(|parameter| {
            let (conditions, name) = (parameter.conditions(), outer_name(parameter));
            quote!(#(#conditions)* #name)
        });
        let call = quote!(Self::#hidden_name #turbofish(&#this, #(#arguments),*));
        let outer_body = self.call(
            quote! {
                #probe
                let #this = #private::owned(#receiver);
            },
            if self.is_blocking() {
                quote_spanned!(span=> move || #call)
            } else {
                quote_spanned!(span=> async move { #call.await })
            },
        );

        let hidden_attributes = attributes::of_hidden(attributes);
        let hidden_signature = Signature { ident: hidden_name, ..signature.clone() };
        let body = self.function.body;
        quote! {
            #(#outer_attributes)*
            #visibility #outer_signature #outer_body

            #[doc(hidden)]
            #(#hidden_attributes)*
            #hidden_signature #body
        }
    }

    /// Generates a function without a receiver. The tokens do not show whether it is in an `impl`, so its body stays in place.
    fn in_place(&self) -> TokenStream {
        let visibility = &self.function.annotated.visibility;
        let outer_attributes = self.with_extended_tool();
        let (inner_attributes, body) = as_block(self.function.body);
        let outer_signature = self.outer_signature();
        let parameters = self.function.parameters.iter().map(taken_apart);
        let output = &self.function.output;
        let span = hygienic(output.span());
        let work = if self.is_blocking() {
            quote_spanned!(span=> move || -> #output { #(#parameters)* #body })
        } else {
            let edge = self.fake_return_edge();
            quote_spanned!(span=> async move { #edge #(#parameters)* #body })
        };
        let outer_body = self.call(TokenStream::new(), work);
        quote! {
            #(#outer_attributes)*
            #(#inner_attributes)*
            #visibility #outer_signature #outer_body
        }
    }

    /// The body of the outer function: the constant, the statements `first`, and the call.
    ///
    /// Its braces are where the author's are: of a function that ends in generated code the compiler does not say that nothing calls it.
    fn call(&self, first: TokenStream, work: TokenStream) -> Group {
        let call_site = self.call_site();
        // The compiler reports an unsuitable type at this span.
        let span = hygienic(self.function.output.span());
        let private = located_at(&self.private, span);
        let entry = Ident::new(if self.is_blocking() { "call_blocking" } else { "call" }, span);
        let conclusion = Ident::new(self.conclusion(), span);
        let output = &self.function.output;
        let call = quote_spanned! {span=>
            #private::#entry(&SMART_ASYNC_CALL_SITE, #private::#conclusion::<#output>(), #work).await
        };
        let mut body = Group::new(
            Delimiter::Brace,
            quote! {
                #call_site
                #first
                #call
            },
        );
        body.set_span(self.function.body.span());
        body
    }

    /// The function of the hidden module that turns the result into an outcome.
    fn conclusion(&self) -> &'static str {
        match (self.function.tool.is_some(), self.function.returns_result()) {
            (true, false) => "tool_value",
            (true, true) => "tool_result",
            (false, false) => "plain_value",
            (false, true) => "plain_result",
        }
    }

    fn is_blocking(&self) -> bool {
        self.args.blocking.is_some()
    }

    fn call_site(&self) -> TokenStream {
        let (private, name) = (&self.private, &self.function.name);
        let mut keys = TokenStream::new();
        if let Some(variable) = &self.args.timeout_env {
            let name = &variable.value;
            keys.extend(quote!(.timeout_env(#name)));
        }
        if let Some(default) = &self.args.default {
            let (seconds, nanos) = seconds_and_nanos(default.value);
            keys.extend(quote!(.default_timeout(#seconds, #nanos)));
        }
        if let Some(deadline) = &self.args.deadline {
            let (seconds, nanos) = seconds_and_nanos(deadline.value);
            keys.extend(quote!(.deadline(#seconds, #nanos)));
        }
        if let Some(stall) = &self.args.stall {
            let (seconds, nanos) = seconds_and_nanos(stall.value);
            keys.extend(quote!(.stall(#seconds, #nanos)));
        }
        if self.args.always_job.is_some() {
            keys.extend(quote!(.always_job()));
        }
        if let Some(limit) = &self.args.max_concurrent {
            let limit = Literal::u32_unsuffixed(limit.value);
            keys.extend(quote!(.max_concurrent(#limit)));
        }
        if let Some(priority) = &self.args.priority {
            let priority = Literal::u8_unsuffixed(priority.value);
            keys.extend(quote!(.priority(#priority)));
        }
        if self.args.task_required.is_some() {
            keys.extend(quote!(.task_required()));
        }
        if self.args.coalesce.is_some() {
            keys.extend(quote!(.coalesce()));
        }
        if self.args.repeatable.is_some() {
            keys.extend(quote!(.repeatable()));
        }
        if self.args.reruns() {
            let max_reruns = self.args.max_reruns.as_ref().map_or(1, |max_reruns| max_reruns.value);
            let max_reruns = Literal::u32_unsuffixed(max_reruns);
            keys.extend(quote!(.rerun(#max_reruns)));
        }
        if let Some(idempotent) = &self.args.idempotent {
            let (seconds, nanos) = seconds_and_nanos(idempotent.value);
            keys.extend(quote!(.idempotent(#seconds, #nanos)));
        }
        if let Some(choice) = &self.args.on_disconnect {
            let variant = match choice.value {
                OnDisconnect::Keep => quote!(Keep),
                OnDisconnect::Cancel => quote!(Cancel),
            };
            keys.extend(quote!(.on_disconnect(#private::OnDisconnect::#variant)));
        }
        if let Some(choice) = &self.args.on_cancel {
            let variant = match choice.value {
                OnCancel::Auto => quote!(Auto),
                OnCancel::Keep => quote!(Keep),
                OnCancel::Cancel => quote!(Cancel),
            };
            keys.extend(quote!(.on_cancel(#private::OnCancel::#variant)));
        }
        if self.args.redact.is_some() {
            keys.extend(quote!(.redact()));
        }
        if self.args.store_result.as_ref().is_some_and(|store_result| !store_result.value) {
            keys.extend(quote!(.store_result(false)));
        }
        if let Some(state) = &self.args.state {
            let field = &state.value;
            let pointer = self.args.pointer.as_ref().map_or("", |pointer| pointer.value.as_str());
            keys.extend(quote!(.state(#field, #pointer)));
        }
        quote! {
            static SMART_ASYNC_CALL_SITE: #private::CallSite = #private::CallSite::new(#name) #keys;
        }
    }

    /// The signature of the outer function: plain names in place of patterns, and `Reply<…>` as the result.
    fn outer_signature(&self) -> Signature {
        let written = &self.function.annotated.signature;
        let (root, output) = (&self.root, &self.function.output);
        let mut signature = written.clone();
        if signature.asyncness.is_none() {
            signature.asyncness = Some(syn::Token![async](written.fn_token.span));
        }
        let receiver = written.receiver().map(ToTokens::to_token_stream);
        let parameters = self.function.parameters.iter().map(|parameter| {
            let (conditions, name) = (parameter.conditions(), outer_name(parameter));
            let (colon, ty) = (&parameter.written.colon_token, &parameter.written.ty);
            quote!(#(#conditions)* #name #colon #ty)
        });
        let inputs = receiver.into_iter().chain(parameters);
        signature.inputs = parse_quote!(#(#inputs),*);
        signature.output = match &written.output {
            syn::ReturnType::Type(arrow, _) => parse_quote!(#arrow #root::Reply<#output>),
            syn::ReturnType::Default => parse_quote!(-> #root::Reply<#output>),
        };
        signature
    }

    /// All attributes, with the extended `#[tool]`.
    fn with_extended_tool(&self) -> Vec<Attribute> {
        let mut attributes = self.function.annotated.attributes.clone();
        if let Some((place, tool)) = &self.function.tool
            && let Some(attribute) = attributes.get_mut(*place)
        {
            let (reruns, keeps_keys) = (self.args.reruns(), self.args.idempotent.is_some());
            *attribute = tool.extended(&self.private, &self.function.output, reruns, keeps_keys);
        }
        attributes
    }

    /// A branch that is never taken and returns the type of the result.
    ///
    /// An `async` block cannot name its type. The branch tells the type to `?` and `return`, and makes the compiler report a body of
    /// another type on the author's line.
    fn fake_return_edge(&self) -> TokenStream {
        let output = &self.function.output;
        let span = hygienic(output.span());
        quote_spanned! {span=>
            #[allow(
                unknown_lints,
                unreachable_code,
                clippy::diverging_sub_expression,
                clippy::empty_loop,
                clippy::let_unit_value,
                clippy::let_with_type_underscore,
                clippy::needless_return,
                clippy::unreachable
            )]
            if false {
                let fake_return: #output = loop {};
                return fake_return;
            }
        }
    }

    /// A compile-time check that `#[tool]` was not expanded first, for functions whose tokens do not show it.
    ///
    /// `#[tool]` changes an `async fn` visibly, but leaves a plain `fn` unchanged and puts an associated function beside it. The compiler
    /// prefers that function to the trait's, if it is there.
    fn type_probe(&self) -> TokenStream {
        if !self.is_blocking() || self.function.tool.is_some() {
            return TokenStream::new();
        }
        let private = &self.private;
        let probed = format_ident!(
            "{}_tool_attr",
            self.function.annotated.signature.ident,
            span = Span::call_site()
        );
        quote! {
            trait SmartAsyncProbe {
                fn #probed() -> #private::NoToolAttribute {
                    #private::NoToolAttribute
                }
            }
            impl<AnyType: ?Sized> SmartAsyncProbe for AnyType {}
            #private::stands_above_tool(Self::#probed);
        }
    }
}

/// A span in the author's code with the hygiene of the macro.
fn hygienic(span: Span) -> Span {
    Span::mixed_site().located_at(span)
}

/// The same tokens with the same hygiene at another span.
fn located_at(tokens: &TokenStream, place: Span) -> TokenStream {
    let moved = tokens.clone().into_iter().map(|mut token| {
        token.set_span(token.span().located_at(place));
        token
    });
    moved.collect()
}

/// The name of a parameter in the outer function.
fn outer_name(parameter: &Parameter<'_>) -> Ident {
    match &parameter.name {
        ParameterName::Own(name) => name.clone(),
        ParameterName::Pattern(place) => {
            let span = hygienic(parameter.written.pat.span());
            format_ident!("__arg{place}", span = span)
        }
    }
}

/// Moves a parameter into the body and binds its pattern there, in the two steps of the compiler's own `async fn`, so that `_` and
/// `_guard` live as long as the body.
fn taken_apart(parameter: &Parameter<'_>) -> TokenStream {
    let name = outer_name(parameter);
    let span = hygienic(parameter.written.pat.span());
    let (attributes, pattern) = (&parameter.written.attrs, &parameter.written.pat);
    match (&parameter.name, &**pattern) {
        (ParameterName::Own(_), Pat::Ident(PatIdent { mutability, .. })) => {
            quote_spanned!(span=> #(#attributes)* let #mutability #name = #name;)
        }
        _ => {
            let conditions = parameter.conditions();
            quote_spanned! {span=>
                #(#conditions)* let #name = #name;
                #(#attributes)* let #pattern = #name;
            }
        }
    }
}

/// The function's type and const parameters as a turbofish, since one that occurs in no argument cannot be inferred.
fn turbofish(signature: &Signature) -> TokenStream {
    let mut names = TokenStream::new();
    for parameter in &signature.generics.params {
        match parameter {
            GenericParam::Type(parameter) => {
                let name = &parameter.ident;
                names.append_all(quote!(#name,));
            }
            GenericParam::Const(parameter) => {
                let name = &parameter.ident;
                names.append_all(quote!(#name,));
            }
            GenericParam::Lifetime(_) => {}
        }
    }
    if names.is_empty() { names } else { quote!(::<#names>) }
}

/// Makes a body into a block of its own.
///
/// Inner attributes at its start are not allowed in a block, so they are returned apart. The braces get a generated span, or the
/// compiler would report them as unnecessary.
fn as_block(body: &Group) -> (Vec<Attribute>, Group) {
    let split = |input: syn::parse::ParseStream<'_>| {
        let attributes = input.call(Attribute::parse_inner)?;
        Ok((attributes, input.parse::<TokenStream>()?))
    };
    let (mut attributes, content) =
        split.parse2(body.stream()).unwrap_or_else(|_error| (Vec::new(), body.stream()));
    for attribute in &mut attributes {
        attribute.style = syn::AttrStyle::Outer;
    }
    let mut block = Group::new(body.delimiter(), content);
    block.set_span(hygienic(body.span()));
    (attributes, block)
}

fn seconds_and_nanos(duration: Duration) -> (Literal, Literal) {
    (Literal::u64_unsuffixed(duration.as_secs()), Literal::u32_unsuffixed(duration.subsec_nanos()))
}
