//! Built-in actions as functions over folders: checkout, artifacts, image, SBOM; the one extractor.
