#pragma once
// A program that depends on this target, and has one of the arguments `create`, `run` or `exec`, runs from a read-only
// mount that only it has: see protect.c. There is nothing to call.
