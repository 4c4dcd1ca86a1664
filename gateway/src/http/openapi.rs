//! The description of all HTTP calls, and the page on which they can be tried.
//!
//! The description is made from the handlers and the structs they speak; the page's scripts are part of this binary,
//! so nothing is fetched, when it is built or when it is shown.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use http::header::CONTENT_SECURITY_POLICY;
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa_swagger_ui::{Config as Page, SwaggerUi};

use super::pages::CONTENT_POLICY;
use super::state::Front;
use crate::api::{messaging, presence, server, trade};
use crate::config::Config;

/// Where the description is.
pub const DOCUMENT: &str = "/openapi.json";

#[derive(OpenApi)]
#[openapi(info(
    title = "Muster",
    description = "Who is online, and messages to them. Each call says which token it needs: a user's, a service's \
                   (made with `muster token --service`), or none."
))]
struct Frame;

/// The description of all calls that this configuration serves.
#[must_use]
pub fn document(config: &Config) -> utoipa::openapi::OpenApi {
    let mut document = Frame::openapi();
    if config.presence_api.enabled {
        let base = format!("{}/presence", config.presence_api.base_path);
        document = document.nest(base, presence::Document::openapi());
    }
    if config.messaging_api.enabled {
        document = document.nest(config.messaging_api.base_path.clone(), messaging::Document::openapi());
    }
    if config.trade_api.enabled {
        document = document.nest(config.trade_api.base_path.clone(), trade::Document::openapi());
    }
    document = document.nest("/server/v1", server::Document::openapi());
    let components = document.components.get_or_insert_default();
    for (name, about) in [
        (presence::USER_TOKEN, "A token of a user or a service."),
        (server::SERVICE_TOKEN, "A token of a service: its claim `service` is true."),
    ] {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("JWT")
            .description(Some(about))
            .build();
        components.add_security_scheme(name, SecurityScheme::Http(scheme));
    }
    document
}

pub(super) fn routes(config: &Config) -> Router<Arc<Front>> {
    // The page's validator would send the description to somebody else's server.
    let page = Page::new([DOCUMENT]).validator_url("none").use_base_layout();
    let swagger = SwaggerUi::new("/swagger").url(DOCUMENT, document(config)).config(page);
    Router::from(swagger).layer(from_fn(keep_to_ourselves))
}

async fn keep_to_ourselves(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, CONTENT_POLICY);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_of_the_description_leads_somewhere() {
        let document = serde_json::to_value(document(&Config::default())).unwrap();
        assert_eq!(document["openapi"], "3.1.0");
        let mut references = 0;
        let mut open = vec![&document];
        while let Some(value) = open.pop() {
            match value {
                serde_json::Value::Object(fields) => {
                    if let Some(serde_json::Value::String(reference)) = fields.get("$ref") {
                        references += 1;
                        let pointer = reference.strip_prefix('#').unwrap();
                        assert!(document.pointer(pointer).is_some(), "{reference}");
                    }
                    open.extend(fields.values());
                }
                serde_json::Value::Array(items) => open.extend(items),
                _ => {}
            }
        }
        assert!(references > 10);
    }
}
