// Whether somebody is looking: the page's clock stands while the window is hidden or nothing has moved for a while.

const IDLE_MS = 120_000;
const CHECK_MS = 5_000;
const SIGNS_OF_LIFE = ["pointermove", "pointerdown", "keydown", "wheel"];

class Attention {
  /** `tell(active, idleSeconds)` is called on each change only. */
  constructor(tell) {
    Object.assign(this, { tell, active: true, lastSign: Date.now() });
    this.onVisibility = () => (document.hidden ? this.leave(0) : this.live());
    this.onSign = () => {
      this.lastSign = Date.now();
      if (!this.active && !document.hidden) this.live();
    };
    document.addEventListener("visibilitychange", this.onVisibility);
    for (const sign of SIGNS_OF_LIFE) document.addEventListener(sign, this.onSign, { capture: true, passive: true });
    this.timer = setInterval(() => {
      const idle = Date.now() - this.lastSign;
      if (this.active && idle >= (window.tumortraceIdleMs ?? IDLE_MS)) this.leave(idle / 1000);
    }, Math.min(CHECK_MS, window.tumortraceIdleMs ?? CHECK_MS));
  }

  /** Another case: its clock begins running, so a window that is hidden says so again. */
  again() {
    this.active = true;
    this.lastSign = Date.now();
    if (document.hidden) this.leave(0);
  }

  leave(idleSeconds) {
    if (!this.active) return;
    this.active = false;
    this.tell(false, idleSeconds);
  }

  live() {
    this.lastSign = Date.now();
    if (this.active) return;
    this.active = true;
    this.tell(true, 0);
  }

  dispose() {
    clearInterval(this.timer);
    document.removeEventListener("visibilitychange", this.onVisibility);
    for (const sign of SIGNS_OF_LIFE) document.removeEventListener(sign, this.onSign, { capture: true });
  }
}
