/**
 * Calls at once, then at most once per interval, the last time after the last request: a burst costs two calls.
 */
export function coalesced(
  listener: () => void,
  intervalMs: number,
): { readonly call: () => void; readonly stop: () => void } {
  let timer: NodeJS.Timeout | undefined;
  let isWanted = false;
  const rest = () => {
    timer = setTimeout(() => {
      timer = undefined;
      if (!isWanted) return;
      isWanted = false;
      rest();
      listener();
    }, intervalMs);
  };
  return {
    call: () => {
      if (timer) {
        isWanted = true;
        return;
      }
      rest();
      listener();
    },
    stop: () => clearTimeout(timer),
  };
}
