//! The transport under every release of UCX that it serves: [`matrix`] runs the MPI tests on several, which [`wheel`] and
//! `folder` install; [`source`] fetches the source that our declarations are compared with.

pub(crate) mod matrix;
pub(crate) mod source;
mod suites;
pub(crate) mod wheel;
