//! The annotated function: parsed ([`AnnotatedFn`]), then checked ([`ToolFn`]).
//!
//! The body stays unparsed tokens, so that a half-typed one fails no worse than without the attribute. `expand` generates the
//! code.

mod borrows;
mod shape;

use proc_macro2::{Group, Ident, TokenStream};
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::{
    Attribute, FnArg, Meta, Pat, PatIdent, PatType, ReturnType, Signature, Token, Type, Visibility,
    parse_quote,
};

use crate::args::Args;
use crate::errors::Errors;
use crate::tool_attr::ToolAttr;

/// A function as its author wrote it.
pub(crate) struct AnnotatedFn {
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) visibility: Visibility,
    pub(crate) signature: Signature,
    pub(crate) body: FnBody,
}

/// The unparsed body.
#[derive(Clone)]
pub(crate) enum FnBody {
    Braces(Group),
    Missing(Token![;]),
}

impl Parse for AnnotatedFn {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let attributes = input.call(Attribute::parse_outer)?;
        let visibility = input.parse()?;
        let signature = input.parse()?;
        let body = if input.peek(Token![;]) {
            FnBody::Missing(input.parse()?)
        } else {
            FnBody::Braces(input.parse()?)
        };
        Ok(Self { attributes, visibility, signature, body })
    }
}

impl ToTokens for AnnotatedFn {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let Self { attributes, visibility, signature, body } = self;
        tokens.extend(attributes.iter().map(ToTokens::to_token_stream));
        visibility.to_tokens(tokens);
        signature.to_tokens(tokens);
        match body {
            FnBody::Braces(braces) => braces.to_tokens(tokens),
            FnBody::Missing(semicolon) => semicolon.to_tokens(tokens),
        }
    }
}

impl AnnotatedFn {
    /// The index and the content of the `#[tool]` below `#[smart_async]`.
    pub(crate) fn tool(&self) -> Option<(usize, ToolAttr)> {
        self.attributes
            .iter()
            .enumerate()
            .find(|(_, attribute)| ToolAttr::is_tool(attribute.path()))
            .map(|(place, attribute)| (place, ToolAttr::read(attribute)))
    }

    /// Removes and reports further `#[smart_async]` attributes, which would expand the function a second time.
    pub(crate) fn take_repeated(&mut self, errors: &mut Errors) {
        self.attributes.retain(|attribute| {
            let is_ours = attribute
                .path()
                .segments
                .last()
                .is_some_and(|segment| segment.ident == "smart_async");
            if is_ours {
                errors.at(
                    attribute,
                    "`#[smart_async]` stands on this function already; keep one of the two and \
                     give it the keys of both",
                );
            }
            !is_ours
        });
    }
}

/// A checked function that can run as work of its own.
pub(crate) struct ToolFn<'a> {
    pub(crate) annotated: &'a AnnotatedFn,
    pub(crate) receiver: Option<&'a Token![self]>,
    pub(crate) parameters: Vec<Parameter<'a>>,
    pub(crate) output: Type,
    pub(crate) body: &'a Group,
    pub(crate) tool: Option<(usize, ToolAttr)>,
    /// The name of the tool, or of the function if it is none.
    pub(crate) name: String,
}

/// A parameter other than the receiver.
pub(crate) struct Parameter<'a> {
    pub(crate) written: &'a PatType,
    /// The name of the parameter in the outer function.
    pub(crate) name: ParameterName,
}

pub(crate) enum ParameterName {
    /// The author's name.
    Own(Ident),
    /// The position of a parameter that has a pattern in place of a name.
    Pattern(usize),
}

/// The facts about a refused function that decide about the code emitted in its place.
#[derive(Default)]
pub(crate) struct Refusal {
    /// Whether `#[tool]` would report this signature too.
    pub(crate) tool_would_complain: bool,
}

impl<'a> ToolFn<'a> {
    /// Checks the function and reports all of its errors.
    pub(crate) fn check(
        annotated: &'a AnnotatedFn,
        args: &Args,
        errors: &mut Errors,
    ) -> Result<Self, Refusal> {
        let tool = annotated.tool();
        if shape::stands_below_tool(&annotated.signature) {
            errors.at_span(proc_macro2::Span::call_site(), shape::STANDS_BELOW_TOOL);
            return Err(Refusal::default());
        }
        let mut refusal = Refusal::default();
        let signature = &annotated.signature;
        shape::check_asyncness(signature, args, errors);
        let checks = [
            shape::check_qualifiers(signature, errors),
            shape::check_receiver(signature, errors),
            borrows::check_parameters(signature, errors),
            borrows::check_output(&signature.output, errors),
            tool.as_ref().is_some_and(|(_, tool)| shape::check_local(tool, errors)),
        ];
        refusal.tool_would_complain = checks.contains(&true);
        let has_hidden_tool = shape::check_hidden_tools(&annotated.attributes, errors);
        if tool.is_none() && !has_hidden_tool {
            shape::check_rerun_of_no_tool(args, errors);
            shape::check_task_of_no_tool(args, errors);
            shape::check_coalescing_of_no_tool(args, errors);
            shape::check_keys_of_no_tool(args, errors);
        }
        let body = match &annotated.body {
            FnBody::Braces(braces) => braces,
            FnBody::Missing(semicolon) => {
                errors.at(semicolon, shape::NO_BODY);
                return Err(refusal);
            }
        };
        if !errors.is_empty() {
            return Err(refusal);
        }
        let receiver = signature.receiver().map(|receiver| &receiver.self_token);
        let name = tool
            .as_ref()
            .and_then(|(_, tool)| tool.name())
            .unwrap_or_else(|| signature.ident.unraw().to_string());
        let output = match &signature.output {
            ReturnType::Type(_, ty) => (**ty).clone(),
            ReturnType::Default => parse_quote!(()),
        };
        Ok(Self {
            annotated,
            receiver,
            parameters: parameters(signature),
            output,
            body,
            tool,
            name,
        })
    }

    /// Returns whether the last segment of the return type is `Result`.
    pub(crate) fn returns_result(&self) -> bool {
        match &self.output {
            Type::Path(path) => {
                path.path.segments.last().is_some_and(|segment| segment.ident == "Result")
            }
            _ => false,
        }
    }
}

fn parameters(signature: &Signature) -> Vec<Parameter<'_>> {
    let typed = signature.inputs.iter().filter_map(|input| match input {
        FnArg::Typed(written) => Some(written),
        FnArg::Receiver(_) => None,
    });
    let named = |(place, written): (usize, &'_ PatType)| match &*written.pat {
        Pat::Ident(PatIdent { by_ref: None, subpat: None, ident, .. })
            if !ident.to_string().starts_with('_') =>
        {
            ParameterName::Own(ident.clone())
        }
        _ => ParameterName::Pattern(place),
    };
    typed
        .enumerate()
        .map(|(place, written)| Parameter { written, name: named((place, written)) })
        .collect()
}

impl Parameter<'_> {
    /// The `#[cfg]` attributes of the parameter, which must be repeated at every use of it.
    pub(crate) fn conditions(&self) -> impl Iterator<Item = &Attribute> {
        self.written.attrs.iter().filter(
            |attribute| matches!(&attribute.meta, Meta::List(list) if list.path.is_ident("cfg")),
        )
    }
}
