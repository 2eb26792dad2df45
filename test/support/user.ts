/**
 * The user that the tests run as. Supervisor and children are not dumpable, so that only root may trace
 * them or look at their descriptors, executable and environment: ptrace(2), PR_SET_DUMPABLE.
 */
export const isRoot = process.getuid?.() === 0;
