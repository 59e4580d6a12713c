/** The times and amounts of a link between page and bridge (`link.js`). */

/** Time before the first attempt to reconnect. Each further one waits twice as long. */
export const FIRST_WAIT_MS = 250;
/** Maximum time between two attempts to reconnect: a server is back two seconds after a restart. */
export const LONGEST_WAIT_MS = 1000;

/** Maximum time from opening a socket to `ready`. Browsers themselves wait for minutes. */
export const ATTEMPT_MS = 8000;

/** Time for which to try to connect, until `ready` gives the server's value. */
export const KEEP_MS = 30_000;

/** Maximum sound of the user that is kept without a connection, in seconds, and sent afterwards. */
export const VOICE_KEPT_S = 1;

/** Sound waiting in the socket, in seconds, above which more is dropped: it would be too late. */
export const CONGESTED_S = 0.5;

/**
 * Time for which more may wait in the socket. A page that stood still sends the sound of that time
 * at once, and the socket says only later what the network has taken.
 */
export const BURST_MS = 250;

/** Sound that may wait in the socket in that time, in seconds. Pages rarely stand still longer. */
export const BURST_S = 5;

/** Number of missing `alive` messages after which a connection is lost. One may be late. */
export const SIGNS_MISSED = 3;

/** Minimum time between two reports of playback. Ten a second are meant; this allows for jitter. */
export const REPORT_MS = 80;

/** Number of tool results that are kept without a connection: as many as the server waits for. */
export const RESULTS_KEPT = 16;
