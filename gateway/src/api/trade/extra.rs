//! What a room keeps beside its conversation: shop, and what the seller may know of the buyer. JSON in the
//! conversation's `extra`, which Muster carries and does not read elsewhere.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// Bytes of it; the model takes no more.
pub const MOST: usize = 16 * 1024;

/// See above.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Extra {
    /// The shop's id, as the client gave it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub shop_id: Option<Value>,
    /// What is known of the shop; `{"id":…}` at least, where there is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub shop: Option<Map<String, Value>>,
    /// What is known of the buyer.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub buyer_info: Option<BuyerInfo>,
    /// It was made by its first message: nobody is told of a new room.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub silent: bool,
}

/// A buyer, as the seller may know them.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[schema(as = TradeBuyerInfo)]
pub struct BuyerInfo {
    /// Their name.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(example = "Nguyễn An")]
    pub name: Option<String>,
    /// The address of a picture.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub avatar: Option<String>,
    /// Their telephone number.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub phone_number: Option<String>,
    /// Their e-mail address.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub email: Option<String>,
}

impl Extra {
    /// Reads what a conversation keeps. What somebody else has put there is nothing.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Self {
        serde_json::from_slice(bytes).unwrap_or_default()
    }

    /// As bytes of a conversation.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts, numbers and maps of texts always have a JSON form")
    }

    /// The name that lists are searched by: the shop's for the buyer, the buyer's for the seller.
    #[must_use]
    pub fn name_for(&self, side: super::names::Side) -> Option<&str> {
        match side {
            super::names::Side::Buyer => self.shop.as_ref()?.get("name")?.as_str(),
            super::names::Side::Seller => self.buyer_info.as_ref()?.name.as_deref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::names::Side;
    use super::*;

    #[test]
    fn it_reads_back_and_takes_nothing_for_granted() {
        let text = r#"{"shop_id":7,"shop":{"id":7,"name":"Chợ"},"buyer_info":{"name":"An"}}"#;
        let extra = Extra::read(text.as_bytes());
        assert_eq!(extra.bytes(), text.as_bytes());
        assert_eq!((extra.name_for(Side::Buyer), extra.name_for(Side::Seller)), (Some("Chợ"), Some("An")));
        for odd in ["", "7", "{\"shop\":7}", "\u{0}"] {
            assert_eq!(Extra::read(odd.as_bytes()), Extra::default(), "{odd}");
        }
        assert_eq!(Extra::default().bytes(), b"{}");
        assert_eq!(Extra::default().name_for(Side::Buyer), None);
    }
}
