#!/usr/bin/env bash
# Makes the test asset with ffmpeg: what a packager in front of MediaTailor would hold.
#
#   asset.sh DIR [ts|fmp4] [SECONDS] [LENGTH]
#
# DIR/origin  a test pattern: two variants, audio of its own, WebVTT subtitles, index.m3u8 on top
# DIR/ads     three segments of another pattern with the same renditions
#
# SECONDS is the length of a segment, 2 if not given; LENGTH is that of the whole, a multiple of it, 24 if not given.
# A second call with the same arguments finds everything in place and does nothing.
set -euo pipefail

dir=${1:?"usage: asset.sh DIR [ts|fmp4]"}
form=${2:-ts}
case $form in
  ts) extension=ts ;;
  fmp4) extension=m4s ;;
  *) echo "asset.sh: '$form' is not a form: use ts or fmp4" >&2; exit 2 ;;
esac
command -v ffmpeg >/dev/null || { echo "asset.sh: ffmpeg is missing: install the package ffmpeg" >&2; exit 2; }

seconds_per_segment=${3:-2}
length=${4:-24}
fps=25
if ! [[ $seconds_per_segment =~ ^[1-9][0-9]?$ && $length =~ ^[1-9][0-9]{0,2}$ ]] || ((length % seconds_per_segment)); then
  echo "asset.sh: '$length' seconds in segments of '$seconds_per_segment': use numbers of which the second divides the first" >&2
  exit 2
fi

# encode PICTURE TONE SECONDS INTO: two variants and one audio rendition, each with its media playlist.
# The encoder's priming frame would spill into one segment more than the video has: `-frames:a` cuts it off.
encode() {
  local picture=$1 tone=$2 seconds=$3 into=$4
  mkdir -p "$into/v0" "$into/v1" "$into/audio"
  local hls=(-f hls -hls_time "$seconds_per_segment" -hls_list_size 0 -hls_playlist_type vod
    -hls_flags independent_segments -hls_segment_type "$([ "$form" = ts ] && echo mpegts || echo fmp4)")
  local video=(-c:v libx264 -preset veryfast -pix_fmt yuv420p -g $((fps * seconds_per_segment))
    -keyint_min $((fps * seconds_per_segment)) -sc_threshold 0 -bf 0 -threads 2)
  ffmpeg -hide_banner -loglevel error -nostdin -y \
    -f lavfi -i "$picture=size=480x270:rate=$fps:duration=$seconds" \
    -f lavfi -i "sine=frequency=$tone:beep_factor=4:sample_rate=48000:duration=$seconds" \
    -filter_complex '[0:v]split=2[big][b];[b]scale=320:180[small]' \
    -map '[small]' "${video[@]}" -profile:v baseline -b:v 300k -maxrate 330k -bufsize 600k \
      "${hls[@]}" -hls_segment_filename "$into/v0/%03d.$extension" "$into/v0/index.m3u8" \
    -map '[big]' "${video[@]}" -profile:v main -b:v 600k -maxrate 660k -bufsize 1200k \
      "${hls[@]}" -hls_segment_filename "$into/v1/%03d.$extension" "$into/v1/index.m3u8" \
    -map 1:a -c:a aac -b:a 64k -ac 2 -frames:a $((seconds * 48000 / 1024)) \
      "${hls[@]}" -hls_segment_filename "$into/audio/%03d.$extension" "$into/audio/index.m3u8"
}

# subtitles SECONDS WORD INTO: one cue a segment, on the clock of the first variant. The empty line at the end of a cue
# matters: GStreamer's parser holds a cue back until it has seen one, and its picture waits for the text.
subtitles() {
  local seconds=$1 word=$2 into=$3/subs
  local count=$((seconds / seconds_per_segment)) start n
  mkdir -p "$into"
  # The transport stream starts at some time of the muxer's choice; the cues have to start there as well.
  start=0
  if [ "$form" = ts ]; then
    start=$(ffprobe -loglevel error -select_streams v -show_entries stream=start_pts -of csv=p=0 "$3/v0/000.ts" | awk 'NR == 1 { gsub(/[^0-9]/, ""); print }')
  fi
  {
    printf '#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:%d\n#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-PLAYLIST-TYPE:VOD\n' "$seconds_per_segment"
    for ((n = 0; n < count; n++)); do
      printf '#EXTINF:%d.000000,\n%03d.vtt\n' "$seconds_per_segment" "$n"
    done
    printf '#EXT-X-ENDLIST\n'
  } >"$into/index.m3u8"
  for ((n = 0; n < count; n++)); do
    printf 'WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:%d,LOCAL:00:00:00.000\n\n%s.000 --> %s.900\n%s %d\n\n' \
      "$start" "$(clock $((n * seconds_per_segment)))" "$(clock $(((n + 1) * seconds_per_segment - 1)))" "$word" "$n" >"$into/$(printf '%03d' "$n").vtt"
  done
}

# clock SECONDS: as a cue's time is written.
clock() {
  printf '%02d:%02d:%02d' $(($1 / 3600)) $(($1 / 60 % 60)) $(($1 % 60))
}

# multivariant INTO: ties the renditions together.
multivariant() {
  local version=4
  [ "$form" = fmp4 ] && version=7
  cat >"$1/index.m3u8" <<EOF
#EXTM3U
#EXT-X-VERSION:$version
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="aud",NAME="English",LANGUAGE="en",DEFAULT=YES,AUTOSELECT=YES,CHANNELS="2",URI="audio/index.m3u8"
#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="sub",NAME="English",LANGUAGE="en",DEFAULT=YES,AUTOSELECT=YES,FORCED=NO,URI="subs/index.m3u8"
#EXT-X-STREAM-INF:BANDWIDTH=420000,AVERAGE-BANDWIDTH=380000,RESOLUTION=320x180,FRAME-RATE=$fps.000,CODECS="avc1.42c00c,mp4a.40.2",AUDIO="aud",SUBTITLES="sub"
v0/index.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=780000,AVERAGE-BANDWIDTH=700000,RESOLUTION=480x270,FRAME-RATE=$fps.000,CODECS="avc1.4d4015,mp4a.40.2",AUDIO="aud",SUBTITLES="sub"
v1/index.m3u8
EOF
}

# asset PICTURE TONE SECONDS WORD NAME: made beside its place and moved there whole, so that a broken run leaves nothing half.
asset() {
  local place=$dir/$5 making
  [ "$(cat "$place/.form" 2>/dev/null)" = "$form $seconds_per_segment $3" ] && return 0
  making=$place.making.$$
  rm -rf "$making"
  encode "$1" "$2" "$3" "$making"
  subtitles "$3" "$4" "$making"
  multivariant "$making"
  echo "$form $seconds_per_segment $3" >"$making/.form"
  rm -rf "$place"
  mv "$making" "$place"
}

mkdir -p "$dir"
trap 'rm -rf "$dir"/*.making.$$' EXIT
asset testsrc2 440 "$length" programme origin
asset smptehdbars 880 $((3 * seconds_per_segment)) advertisement ads
