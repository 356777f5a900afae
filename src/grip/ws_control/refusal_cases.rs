//! Every refusal of a message for the edge.

use super::*;

#[test]
fn every_refusal_has_its_text() {
    let long = format!(r#"{{"type":"subscribe","channel":"{}"}}"#, "x".repeat(1025));
    let ping = format!(
        r#"{{"type":"keep-alive","message-type":"ping","content":"{}"}}"#,
        "x".repeat(126)
    );
    for (json, text) in [
        ("", "the control message is not valid JSON"),
        ("{} x", "the control message is not valid JSON"),
        (r#"{"type":"detach""#, "the control message is not valid JSON"),
        ("[]", "grip control packet is not an object"),
        ("\"detach\"", "grip control packet is not an object"),
        ("{}", "grip control object does not contain 'type'"),
        (
            r#"{"type":1}"#,
            "grip control object contains 'type' with wrong type",
        ),
        (
            r#"{"type":"set-hold"}"#,
            "'type' contains unknown value: set-hold",
        ),
        (r#"{"type":"attach"}"#, "'type' contains unknown value: attach"),
        (r#"{"type":"refresh"}"#, "'type' contains unknown value: refresh"),
        (r#"{"type":"close"}"#, "'type' contains unknown value: close"),
        (r#"{"type":"Detach"}"#, "'type' contains unknown value: Detach"),
        (r#"{"type":"a\nb"}"#, "'type' contains unknown value: a\u{fffd}b"),
        (
            r#"{"type":"subscribe"}"#,
            "grip control object does not contain 'channel'",
        ),
        (
            r#"{"type":"subscribe","channel":1}"#,
            "grip control object contains 'channel' with wrong type",
        ),
        (
            r#"{"type":"subscribe","channel":""}"#,
            "the channel name is empty",
        ),
        (
            r#"{"type":"unsubscribe","channel":""}"#,
            "the channel name is empty",
        ),
        (
            r#"{"type":"unsubscribe","channel":"a\tb"}"#,
            r"the channel name contains the control character '\t'",
        ),
        (&long, "the channel name has 1025 bytes, at most 1024 are allowed"),
        (
            r#"{"type":"subscribe","channel":"t","filters":"x"}"#,
            "grip control object contains 'filters' with wrong type",
        ),
        (
            r#"{"type":"subscribe","channel":"t","filters":[1]}"#,
            "filters contains value with wrong type",
        ),
        (
            r#"{"type":"subscribe","channel":"t","filters":["1","2","3","4","5","6"]}"#,
            "too many filters for channel 't'",
        ),
        (
            r#"{"type":"set-meta"}"#,
            "grip control object does not contain 'name'",
        ),
        (
            r#"{"type":"set-meta","name":""}"#,
            "grip control object contains 'name' with invalid value",
        ),
        (
            r#"{"type":"set-meta","name":"a","value":null}"#,
            "grip control object contains 'value' with wrong type",
        ),
        (
            r#"{"type":"keep-alive","content":1}"#,
            "grip control object contains 'content' with wrong type",
        ),
        (
            r#"{"type":"keep-alive","content-bin":"*"}"#,
            "grip control object contains 'content-bin' with invalid value",
        ),
        (
            r#"{"type":"keep-alive","content-bin":"/w=="}"#,
            "grip control object contains 'content-bin' with invalid value",
        ),
        (&ping, "grip control object contains 'content' with invalid value"),
        (
            r#"{"type":"keep-alive","message-type":"close"}"#,
            "grip control object contains 'message-type' with invalid value",
        ),
        (
            r#"{"type":"keep-alive","content":"a","timeout":"x"}"#,
            "grip control object contains 'timeout' with wrong type",
        ),
        (
            r#"{"type":"keep-alive","content":"a","timeout":-1}"#,
            "grip control object contains 'timeout' with invalid value",
        ),
        (
            r#"{"type":"keep-alive","content":"a","mode":"x"}"#,
            "grip control object contains 'mode' with invalid value",
        ),
        (
            r#"{"type":"send-delayed","timeout":1}"#,
            "grip control object does not contain 'content'",
        ),
        (
            r#"{"type":"session","id":1}"#,
            "grip control object contains 'id' with wrong type",
        ),
    ] {
        assert_eq!(Control::from_json(json).unwrap_err().to_string(), text, "{json}");
    }
}
