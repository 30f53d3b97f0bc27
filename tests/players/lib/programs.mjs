// Players that are programs: ffmpeg, GStreamer, mpv, streamlink and VLC.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { start } from './processes.mjs';
import { FPS } from './watch.mjs';

/** Newer builds refuse segments without a known extension, as `/v1/segment/...` are, unless told not to. */
function picky(ffmpeg) {
  if (!pickiness.has(ffmpeg)) {
    const help = execFileSync(ffmpeg, ['-hide_banner', '-h', 'demuxer=hls'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
    pickiness.set(ffmpeg, help.includes('extension_picky'));
  }
  return pickiness.get(ffmpeg);
}
const pickiness = new Map();

/** Reads all of an input, throws it away and tells of its frames. */
const COUNTED = ['-hide_banner', '-nostdin', '-loglevel', 'warning', '-progress', 'pipe:1', '-stats_period', '0.5'];
const THROWN_AWAY = ['-map', '0', '-c', 'copy', '-f', 'null', '-'];

/** What ffmpeg has read, from what it tells of its progress. */
function counts(state) {
  return (stream, line) => {
    const [, frames] = /^frame=\s*(\d+)$/.exec(line) ?? [];
    if (stream !== 'stdout' || !frames) return;
    state.frames = Number(frames);
    // Its clock jumps where an advertisement begins or ends; what it has read does not.
    state.time = state.frames / FPS;
  };
}

/**
 * Reads every variant and the audio, and throws them away; `frame` counts pictures of the first variant.
 *
 * What is live comes at its native rate by itself. `-re` would pace it by the clock of the stream, which jumps at
 * every advertisement, and ffmpeg would sleep through the jumps.
 */
export function openFfmpeg(ffmpeg, master) {
  const state = { time: 0, frames: 0, reader: true };
  // Subtitles are as by default, which before 9 is off: switched on there by `-strict experimental`, the demuxer reads
  // nothing but WebVTT until it has enough to probe, which in a live stream is never.
  const args = [...COUNTED, ...(picky(ffmpeg) ? ['-extension_picky', '0'] : []), '-i', master, ...THROWN_AWAY];
  return opened(start(ffmpeg, args, { onLine: counts(state) }), state);
}

/** playbin3 with hlsdemux2, both sinks in time with the clock; every picture that reaches the sink is counted. */
export function openGstreamer(master) {
  const state = { time: 0, frames: 0 };
  const program = start(
    'gst-launch-1.0',
    ['-v', 'playbin3', `uri=${master}`, 'video-sink=fakesink name=picture silent=false sync=true']
      .concat(['audio-sink=fakesink sync=true', 'text-sink=fakesink sync=true']),
    {
      env: { GST_PLUGIN_FEATURE_RANK: 'hlsdemux2:MAX,hlsdemux:NONE', GST_DEBUG: '*:2', GST_DEBUG_NO_COLOR: '1', LC_ALL: 'C' },
      onLine(stream, line) {
        if (stream !== 'stdout' || !line.includes('picture:sink') || !line.includes('chain ')) return;
        state.frames += 1;
        // Stream time starts anew at each discontinuity: what the sink has shown is the time that counts.
        state.time = state.frames / FPS;
      },
    },
  );
  return opened(program, state);
}

/** mpv with pictures and sound that nobody sees or hears, in time with the clock. */
export function openMpv(master) {
  const state = { time: 0, frames: 0 };
  let position;
  const program = start(
    'mpv',
    ['--no-config', '--vo=null', '--ao=null', '--term-status-msg=position=${=time-pos}\n']
      // Its demuxer is that of the ffmpeg beside it.
      .concat(picky('ffmpeg') ? ['--demuxer-lavf-o=extension_picky=0'] : [], [master]),
    {
      onLine(stream, line) {
        const [, text] = /position=(-?[\d.]+)/.exec(line) ?? [];
        if (text === undefined) return;
        const step = Number(text) - (position ?? Number(text));
        position = Number(text);
        // Its clock jumps where an advertisement begins or ends: what it has shown is the time that counts.
        if (step > 0 && step < 1) state.time += step;
        state.frames = Math.round(state.time * FPS);
      },
    },
  );
  return opened(program, state);
}

/** streamlink, which writes what it has loaded into a pipe; ffmpeg at the other end counts the pictures. */
export function openStreamlink(master) {
  const state = { time: 0, frames: 0, reader: true };
  const scratch = mkdtempSync(join(tmpdir(), 'onelane-streamlink-'));
  const program = start(
    'sh',
    ['-c', 'url=$1; shift; streamlink --stdout "$url" best | ffmpeg "$@"', 'sh', master, ...COUNTED, '-i', 'pipe:0', ...THROWN_AWAY],
    // It leaves its named pipes behind when it is stopped.
    { env: { TMPDIR: scratch }, onLine: counts(state) },
  );
  const { close, ...rest } = opened(program, state);
  return {
    ...rest,
    async close() {
      await close();
      rmSync(scratch, { recursive: true, force: true });
    },
  };
}

/** VLC with pictures and sound that nobody sees or hears. It is asked for its statistics, and plays for nobody who is root. */
export function openVlc(master) {
  const state = { time: 0, frames: 0 };
  const ordinary = process.getuid() === 0 ? 'setpriv --reuid=65534 --regid=65534 --clear-groups ' : '';
  const program = start(
    'sh',
    ['-c', `while sleep 0.5; do echo stats; done | ${ordinary}vlc "$@"`, 'sh']
      .concat(['-I', 'oldrc', '--rc-fake-tty', '--vout', 'dummy', '--aout', 'dummy', '--sub-track', '0', master]),
    {
      env: { HOME: '/nonexistent', LC_ALL: 'C' },
      onLine(stream, line) {
        const [, frames] = /frames displayed\s*:\s*(\d+)/.exec(line) ?? [];
        if (stream !== 'stdout' || frames === undefined) return;
        state.frames = Number(frames);
        // Its clock jumps where an advertisement begins or ends: what it has shown is the time that counts.
        state.time = state.frames / FPS;
      },
    },
  );
  return opened(program, state);
}

function opened(program, state) {
  return {
    look: async () => ({ ...state, over: program.ended !== undefined, fatal: program.ended && ending(program) }),
    /** Lines in which the program tells of a 409. */
    conflicts: () => program.stderr().split('\n').filter((line) => statusOf(line) === 409),
    /** The error statuses of which the program tells. */
    statuses: () => program.stderr().split('\n').map(statusOf).filter((status) => status !== undefined),
    stderr: program.stderr,
    close: () => program.stop(),
  };
}

/** The error status that a line of a program's log tells of. */
function statusOf(line) {
  const [, before, after] = /HTTP (?:error|status code) (\d{3})|(\d{3}) (?:Client|Server) Error/.exec(line) ?? [];
  const status = Number(before ?? after);
  return status >= 400 ? status : undefined;
}

function ending(program) {
  const { code, signal, error } = program.ended;
  if (error) return error.message;
  return signal ? `ended by ${signal}` : `ended with exit code ${code}`;
}
