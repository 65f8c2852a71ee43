//! SBOM catalogers and documents, and SSH signatures.
