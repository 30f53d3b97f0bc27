// Every player by its name.
import { openFfmpeg, openGstreamer, openMpv, openStreamlink, openVlc } from './programs.mjs';

/** Those that play on a page in Chromium. */
export const BROWSER_PLAYERS = ['hls.js', 'Shaka', 'video.js', 'Chromium'];

const { NEWER_FFMPEG } = process.env;

/** Those that are programs, and how one is opened. A newer ffmpeg is among them if one is to be had. */
export const PROGRAMS = {
  ffmpeg: (master) => openFfmpeg('ffmpeg', master),
  ...(NEWER_FFMPEG && { 'newer ffmpeg': (master) => openFfmpeg(NEWER_FFMPEG, master) }),
  GStreamer: openGstreamer,
  mpv: openMpv,
  streamlink: openStreamlink,
};

/** Others: releases that are older and in use, and what is no newer than its Debian. They play fewer of the faults. */
export const OTHERS = ['hls.js 0.14', 'hls.js 1.4', 'Shaka 4', 'VLC'];

/** Begins to play. The browser is needed by those that play in it. */
export async function open(player, master, browser) {
  if (player === 'VLC') return openVlc(master);
  return player in PROGRAMS ? PROGRAMS[player](master) : browser.open(player, master);
}

/** Of `all`, those that an environment variable names, by commas; all if it is not set. */
export function chosen(name, all) {
  const wanted = process.env[name]?.split(',').filter(Boolean) ?? [];
  if (wanted.length === 0) return all;
  const unknown = wanted.filter((one) => !all.map(String).includes(one));
  if (unknown.length > 0) throw new Error(`${name}: there is no ${unknown.join(', no ')}; there are ${all.join(', ')}`);
  return all.filter((one) => wanted.includes(String(one)));
}
