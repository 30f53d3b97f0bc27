// What goes wrong when a player starts, in the order of the rows of its matrix.

/**
 * `name` selects it, `text` is its row's. `fault` is the emulator's, which befalls `playlists`, the media playlists if nothing else is said,
 * from before the player starts until `lasts` seconds after it has befallen the first request. Through onelane every player must start, but
 * for those that are `lost`: Chromium and GStreamer give up at their first failure and hls.js at the third, be it of whichever playlist, and past
 * `answer_within` each has one. ffmpeg 9 tries subtitles twice and then misses the first of segments of 2 s, which straight it does not. `quick` are those that differ in kind, or the players for whom they do.
 */
export const STARTS = [
  { name: 'none', text: 'nothing' },
  { name: '503', text: '503 LoadShed for 3 s', fault: { status: 503 }, lasts: 3 },
  { name: '503-7s', text: '503 LoadShed for 7 s', fault: { status: 503 }, lasts: 7, lost: ['hls.js', 'hls.js 1.4', 'Chromium', 'GStreamer'] },
  { name: '500', text: '500 InternalServiceError for 3 s', fault: { status: 500 }, lasts: 3 },
  { name: '502', text: '502 BadGatewayException for 3 s', fault: { status: 502 }, lasts: 3, quick: true },
  { name: '502-html', text: '502, an HTML page, for 3 s', fault: { kind: 'html', status: 502 }, lasts: 3 },
  { name: '409', text: '409 ConflictException for 3 s', fault: { status: 409 }, lasts: 3, quick: true },
  { name: 'reset', text: 'connection reset for 3 s', fault: { kind: 'reset' }, lasts: 3 },
  { name: 'empty', text: '200, an empty body, for 3 s', fault: { kind: 'empty' }, lasts: 3 },
  { name: 'garbage', text: '200, random bytes, for 3 s', fault: { kind: 'garbage' }, lasts: 3 },
  { name: 'hang', text: 'no answer, ever, to what is asked within 3 s', fault: { kind: 'hang' }, lasts: 3, quick: ['Shaka', 'Shaka 4', 'ffmpeg'], lost: ['hls.js', 'hls.js 1.4', 'Chromium', 'GStreamer'] },
  { name: 'multivariant-503', text: 'multivariant playlist: 503 LoadShed for 3 s', fault: { status: 503 }, playlists: 'multivariant', lasts: 3, quick: true },
  { name: 'audio-503', text: 'audio alone: 503 LoadShed for 3 s', fault: { status: 503 }, playlists: [2], lasts: 3 },
  { name: 'subtitles-503', text: 'subtitles alone: 503 LoadShed for 12 s', fault: { status: 503 }, playlists: [3], lasts: 12, lost: ['newer ffmpeg'] },
  { name: 'slow', text: 'the first media playlist takes 5 s', emulateArgs: ['--first', '5s'], quick: ['hls.js', 'Shaka', 'ffmpeg', 'GStreamer'] },
];
