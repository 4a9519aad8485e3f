"""The shapes of requests and answers, with the examples that the OpenAPI page shows."""
