// Players that are programs: ffmpeg and GStreamer.
import { execFileSync } from 'node:child_process';
import { start } from './processes.mjs';
import { FPS } from './watch.mjs';

/** Newer builds refuse segments without a known extension, as `/v1/segment/...` are, unless told not to. */
function picky(ffmpeg) {
  const help = execFileSync(ffmpeg, ['-hide_banner', '-h', 'demuxer=hls'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  return help.includes('extension_picky') ? ['-extension_picky', '0'] : [];
}

/**
 * Reads every variant and the audio, and throws them away; `frame` counts pictures of the first variant.
 *
 * What is live comes at its native rate by itself. `-re` would pace it by the clock of the stream, which jumps at
 * every advertisement, and ffmpeg would sleep through the jumps.
 */
export function openFfmpeg(ffmpeg, master) {
  const state = { time: 0, frames: 0, reader: true };
  const program = start(
    ffmpeg,
    // Subtitles are as by default, which before 9 is off: switched on there by `-strict experimental`, the demuxer reads
    // nothing but WebVTT until it has enough to probe, which in a live stream is never.
    ['-hide_banner', '-nostdin', '-loglevel', 'warning', '-progress', 'pipe:1', '-stats_period', '0.5', ...picky(ffmpeg)]
      .concat(['-i', master, '-map', '0', '-c', 'copy', '-f', 'null', '-']),
    {
      onLine(stream, line) {
        const [, frames] = /^frame=\s*(\d+)$/.exec(line) ?? [];
        if (stream !== 'stdout' || !frames) return;
        state.frames = Number(frames);
        // Its clock jumps where an advertisement begins or ends; what it has read does not.
        state.time = state.frames / FPS;
      },
    },
  );
  return opened(program, state);
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

function opened(program, state) {
  return {
    look: async () => ({ ...state, over: program.ended !== undefined, fatal: program.ended && ending(program) }),
    /** Lines in which the program tells of a 409. */
    conflicts: () => program.stderr().split('\n').filter((line) => /HTTP (error|status code) 409/.test(line)),
    stderr: program.stderr,
    close: () => program.stop(),
  };
}

function ending(program) {
  const { code, signal, error } = program.ended;
  if (error) return error.message;
  return signal ? `ended by ${signal}` : `ended with exit code ${code}`;
}
