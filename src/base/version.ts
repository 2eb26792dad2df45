/** The version of kilofork. */
import { version as declared } from "../../package.json";

export const version: string = declared;
