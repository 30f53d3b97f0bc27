use super::{reel::NO_CAPTIONS, timeline::Source};
use crate::emulator::serve::{
    answer::{Answer, Exception, redirect},
    service::Service,
};

/// Redirects to the media of an ad segment. Never a conflict: the real one fires a beacon and touches no playlist.
pub(in crate::emulator) fn redirect_to_ad(service: &Service, rendition: usize, sequence: u64) -> Answer {
    match ad_at(service, rendition, sequence) {
        Some(uri) => redirect(service.args.segment_redirect, &uri),
        None => Exception::NotFound.answer("no ad has this segment, or it is long gone"),
    }
}

fn ad_at(service: &Service, rendition: usize, sequence: u64) -> Option<String> {
    let timeline = &service.timeline;
    timeline.content.parts().get(rendition)?;
    let (slot, inside) = timeline.find(rendition, sequence)?;
    if !matches!(slot.source, Source::Ad { .. }) {
        return None;
    }
    let (reel, own, place) = timeline.reel_of(&slot, rendition);
    match own {
        Some(own) => reel.pieces(own, place).get(inside).map(|piece| piece.uri.to_string()),
        None => Some(NO_CAPTIONS.to_owned()),
    }
}
