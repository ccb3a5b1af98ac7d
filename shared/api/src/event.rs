//! The event with which API Gateway invokes a function.

use http::HeaderName;
use lambda_http::{
    LambdaEvent, aws_lambda_events::apigw::ApiGatewayProxyRequest, request::LambdaRequest,
};

/// The request with all of its headers.
pub(crate) fn as_sent(mut event: LambdaEvent<LambdaRequest>) -> LambdaEvent<LambdaRequest> {
    if let LambdaRequest::ApiGatewayV1(request) = &mut event.payload {
        keep_every_value(request);
    }
    event
}

/// API Gateway passes the headers twice: once with all values, once with only the last value of
/// each. For a header that is in both, `lambda_http` keeps only the last value, and nobody could
/// tell that there were more.
fn keep_every_value(request: &mut ApiGatewayProxyRequest) {
    let all = &request.multi_value_headers;
    let several = all
        .keys()
        .filter(|name| all.get_all(*name).iter().count() > 1);
    let several: Vec<HeaderName> = several.cloned().collect();
    for name in several {
        request.headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};
    use lambda_http::Context;

    use super::*;

    fn headers(values: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in values {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn a_header_that_was_sent_twice_arrives_twice() {
        let (first, last, host) = (
            ("if-match", "\"1\""),
            ("if-match", "\"2\""),
            ("host", "x.example"),
        );
        let mut request = ApiGatewayProxyRequest::default();
        request.multi_value_headers = headers(&[first, last, host]);
        // Not every caller of a function fills in both.
        request.headers = headers(&[last, host, ("accept", "*/*")]);
        let event = LambdaRequest::ApiGatewayV1(request);
        let event = as_sent(LambdaEvent::new(event, Context::default()));
        let arrived: lambda_http::Request = event.payload.into();
        let values = |name: &str| -> Vec<_> {
            let values = arrived.headers().get_all(name).iter();
            values.map(|value| value.to_str().unwrap()).collect()
        };
        assert_eq!(values("if-match"), ["\"1\"", "\"2\""]);
        assert_eq!(values("host"), ["x.example"]);
        assert_eq!(values("accept"), ["*/*"]);
    }
}
