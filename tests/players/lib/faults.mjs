// What goes wrong in the survival matrix, in the order of its rows.

/** How long each fault lasts, in seconds. */
export const LASTS = 7;

/**
 * `name` selects it, `text` is its row's. `fault` is the emulator's, of which time and aim are the same for all.
 * `survivable` says that through onelane every player must live. What is not so is a session that is lost or blocked, a
 * wrong host, or a playlist that is good in itself. `quick` are those that differ in kind from one another.
 */
export const FAULTS = [
  { name: 'none', text: 'none', survivable: true },
  { name: '400', text: '400 BadRequestException', fault: { status: 400 } },
  { name: '403', text: '403 AccessDeniedException', fault: { status: 403 } },
  { name: '404', text: '404 NotFoundException', fault: { status: 404 } },
  { name: '409', text: '409 ConflictException', fault: { status: 409 }, survivable: true, quick: true },
  { name: '410', text: '410 Gone', fault: { status: 410 } },
  { name: '500', text: '500 InternalServiceError', fault: { status: 500 }, survivable: true },
  { name: '502', text: '502 BadGatewayException', fault: { status: 502 }, survivable: true, quick: true },
  { name: '502-manifest', text: '502 UnsupportedManifestException', fault: { error_type: 'UnsupportedManifestException' }, survivable: true },
  { name: '503', text: '503 LoadShed', fault: { status: 503 }, survivable: true, quick: true },
  { name: '503-throttling', text: '503 ThrottlingException', fault: { kind: 'throttle', above: 0 }, survivable: true },
  { name: '504', text: '504 GatewayTimeoutException', fault: { status: 504 }, survivable: true },
  { name: '502-html', text: '502, an HTML page', fault: { kind: 'html', status: 502 }, survivable: true, quick: true },
  { name: '503-html', text: '503, an HTML page', fault: { kind: 'html', status: 503 }, survivable: true },
  { name: 'reset', text: 'connection reset', fault: { kind: 'reset' }, survivable: true, quick: true },
  { name: 'reset-mid-body', text: 'reset in mid-body', fault: { kind: 'reset-mid-body' }, survivable: true },
  { name: 'hang', text: 'no answer, ever', fault: { kind: 'hang' }, survivable: true, quick: true },
  { name: 'slow-body', text: 'a body of 50 bytes a second', fault: { kind: 'slow-body', rate: 50 }, survivable: true },
  { name: 'truncated', text: '200, half a playlist', fault: { kind: 'truncated' }, survivable: true },
  { name: 'truncated-gzip', text: '200, half a gzip', fault: { kind: 'truncated-gzip' }, survivable: true },
  { name: 'empty', text: '200, an empty body', fault: { kind: 'empty' }, survivable: true, quick: true },
  { name: 'garbage', text: '200, random bytes', fault: { kind: 'garbage' }, survivable: true },
  { name: 'lower-sequence', text: 'media sequence lower by 5', fault: { kind: 'lower-sequence' } },
  { name: 'unchanged', text: 'the same playlist again', fault: { kind: 'unchanged' } },
  { name: 'delay', text: 'the answer 7 s late', fault: { kind: 'delay', delay: '7s' }, survivable: true },
];
