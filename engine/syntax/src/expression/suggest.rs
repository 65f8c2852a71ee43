//! "Did you mean": the nearest of the names that would have been right.

/// `; did you mean `x`?` for the candidate nearest to `name`, empty where none is near.
pub(crate) fn did_you_mean<'n>(
    name: &str,
    candidates: impl IntoIterator<Item = &'n str>,
) -> String {
    let wanted = name.to_ascii_lowercase();
    let near = candidates
        .into_iter()
        .map(|candidate| {
            (
                strsim::damerau_levenshtein(&wanted, &candidate.to_ascii_lowercase()),
                candidate,
            )
        })
        .min_by_key(|(distance, _)| *distance);
    match near {
        Some((distance, candidate)) if distance <= 1 + wanted.len() / 4 => {
            format!("; did you mean `{candidate}`?")
        }
        _ => String::new(),
    }
}
