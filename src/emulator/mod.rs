//! A local MediaTailor that conflicts like the real one.
