import { readFileSync, statSync } from 'node:fs';

/**
 * Who has a store open, as it is written into the store. All parts together, because none of them is enough: a process id is
 * given again, also behind a restart of the machine or of a container, and a copied folder has the owner of the original.
 */
export interface Owner {
  readonly pid: number;
  /** When the process began, in the kernel's ticks since boot; '' where the system does not say. */
  readonly started: string;
  /** '' where the system does not say. */
  readonly boot: string;
  /** Device and inode of the file. */
  readonly file: string;
}

/** This process, for the store whose data is in `file`. */
export function thisProcess(file: string): Owner {
  const { dev, ino } = statSync(file, { bigint: true });
  return { pid: process.pid, started: startOf(process.pid) ?? '', boot: bootId(), file: `${dev}:${ino}` };
}

export function writeOwner({ pid, started, boot, file }: Owner): Buffer {
  return Buffer.from([pid, started, boot, file].join(' '));
}

/** @returns undefined when it is none */
export function readOwner(bytes: Buffer | undefined): Owner | undefined {
  const [pid, started, boot, file] = bytes?.toString().split(' ') ?? [];
  if (started === undefined || boot === undefined || file === undefined) return undefined;
  return { pid: Number(pid), started, boot, file };
}

/** Whether the owner still lives, seen from `self`, who wants the same store. */
export function isAlive(owner: Owner, self: Owner): boolean {
  if (owner.file !== self.file || owner.boot !== self.boot) return false;
  if (!Number.isSafeInteger(owner.pid) || owner.pid <= 0) return false;
  try {
    process.kill(owner.pid, 0);
  } catch (error) {
    // EPERM: it lives, and is somebody else's.
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
  }
  const started = startOf(owner.pid);
  // Other people's processes may be hidden in /proc (hidepid): then it is enough that one with this id lives.
  return started === undefined || started === owner.started;
}

/** @returns undefined when it cannot be read; '' when the process has ended and only waits to be buried */
function startOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The name of the program, in parentheses, may have spaces and parentheses itself: proc(5) fields 3 and 22 are counted from behind it.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' || fields[0] === 'X' ? '' : fields[19];
  } catch {
    return undefined;
  }
}

function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
  } catch {
    return '';
  }
}
