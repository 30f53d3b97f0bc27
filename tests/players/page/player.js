// One page, one player: `?player=hls.js|Shaka|video.js|Chromium&master=URL`, and `&script=` for another release of it. The test asks `look()` and reads `errors`.
// Every player runs with its own defaults; audio and subtitles of the multivariant playlist are switched on.
'use strict';

const query = new URLSearchParams(location.search);
const master = query.get('master');
const stage = document.getElementById('stage');
const errors = [];
let video;

function note(what, fatal) {
  errors.push({ at: Math.round(performance.now()), what, fatal });
}

function look() {
  const fatal = errors.find((error) => error.fatal)?.what;
  if (!video) return { time: 0, frames: 0, readyState: 0, fatal };
  const { totalVideoFrames, droppedVideoFrames } = video.getVideoPlaybackQuality();
  const sample = { time: video.currentTime, frames: totalVideoFrames, dropped: droppedVideoFrames, readyState: video.readyState, fatal };
  document.getElementById('line').textContent = `${query.get('player')}: ${sample.time.toFixed(1)} s, ${sample.frames} frames, ${errors.length} errors`;
  return sample;
}

function load(script) {
  return new Promise((done, fail) => {
    const element = document.createElement('script');
    element.src = script;
    element.onload = done;
    element.onerror = () => fail(new Error(`${script} did not load`));
    document.head.append(element);
  });
}

function plainVideo() {
  video = document.createElement('video');
  video.muted = true;
  video.autoplay = true;
  video.playsInline = true;
  stage.append(video);
  video.addEventListener('error', () => note(`media error ${video.error?.code} ${video.error?.message ?? ''}`.trim(), true));
  return video;
}

function showSubtitles(tracks) {
  for (const track of tracks) {
    if (track.kind === 'subtitles' || track.kind === 'captions') track.mode = 'showing';
  }
}

const players = {
  async 'hls.js'() {
    await load(query.get('script') ?? 'hls.js');
    const hls = new Hls();
    hls.on(Hls.Events.ERROR, (_, data) => note(`${data.details}${data.response?.code ? ` ${data.response.code}` : ''}`, data.fatal));
    hls.on(Hls.Events.SUBTITLE_TRACKS_UPDATED, () => {
      hls.subtitleDisplay = true;
      hls.subtitleTrack = 0;
    });
    hls.attachMedia(plainVideo());
    hls.loadSource(master);
  },

  async Shaka() {
    await load(query.get('script') ?? 'shaka.js');
    shaka.polyfill.installAll();
    const player = new shaka.Player();
    // A CRITICAL event is not the end of Shaka: it goes on by itself, or its picture tells that it did not.
    player.addEventListener('error', ({ detail }) => note(`Shaka ${detail.code} severity ${detail.severity}`, false));
    await player.attach(plainVideo());
    try {
      await player.load(master);
      // Before 5 text is loaded only where it is shown.
      await player.setTextTrackVisibility?.(true);
      const [subtitles] = player.getTextTracks();
      if (subtitles) player.selectTextTrack(subtitles);
    } catch (error) {
      note(`load failed: Shaka ${error.code ?? error}`, true);
    }
  },

  async 'video.js'() {
    const style = document.createElement('link');
    style.rel = 'stylesheet';
    style.href = 'video-js.css';
    document.head.append(style);
    await load('video.js');
    const element = document.createElement('video-js');
    stage.append(element);
    const player = videojs(element, {
      muted: true,
      autoplay: true,
      controls: false,
      width: 480,
      height: 270,
      html5: { vhs: { overrideNative: true }, nativeAudioTracks: false, nativeVideoTracks: false, nativeTextTracks: false },
    });
    player.on('error', () => note(`video.js error ${player.error()?.code}`, true));
    player.on('loadedmetadata', () => showSubtitles(Array.from({ length: player.textTracks().length }, (_, i) => player.textTracks()[i])));
    player.src({ src: master, type: 'application/x-mpegURL' });
    player.ready(() => { video = player.el().querySelector('video'); });
  },

  async Chromium() {
    const element = plainVideo();
    // Segments come from the origin's own host: without CORS this player refuses them.
    element.crossOrigin = 'anonymous';
    element.addEventListener('loadedmetadata', () => showSubtitles(element.textTracks));
    element.src = master;
  },
};

addEventListener('error', (event) => note(`script: ${event.message}`, false));
addEventListener('unhandledrejection', (event) => note(`script: ${event.reason?.message ?? event.reason}`, false));
players[query.get('player')]().catch((error) => note(String(error), true));
