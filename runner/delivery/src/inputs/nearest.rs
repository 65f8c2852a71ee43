//! "Did you mean".

/// The candidate nearest to `name`, ignoring case; none where none is near.
pub fn nearest<'n>(name: &str, candidates: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let wanted = name.to_ascii_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&wanted, &candidate.to_ascii_lowercase()), candidate))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, _)| *distance <= 1 + wanted.chars().count() / 4)
        .map(|(_, candidate)| candidate)
}

/// `; did you mean x?` for the candidate nearest to `name`, empty where none is near.
pub fn did_you_mean<'n>(name: &str, candidates: impl IntoIterator<Item = &'n str>) -> String {
    nearest(name, candidates).map_or_else(String::new, |candidate| format!("; did you mean {candidate}?"))
}
