//! The smallest possible function on `lambda_http`. It is not deployed: the benchmark compares the
//! start of every function with the start of this one.

use lambda_http::{Body, Error, Request, Response, run, service_fn};

// The same runtime as that of the functions.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    run(service_fn(answer)).await
}

async fn answer(_: Request) -> Result<Response<Body>, Error> {
    Ok(Response::new(Body::Empty))
}
