import CSystem
import Glibc
import Media

// `dropreel-decoding-child decode ORDER` is what `dropreel decode ORDER` is.
// `dropreel-decoding-child attempt WHAT ORDER` enters the same sandbox and then tries what must not succeed; the exit
// status is the error number of the attempt, 0 when it succeeded.
// `dropreel-decoding-child act HOW ORDER` plays a decoder that was taken over or runs wild.

guard let order = DecodingOrder(CommandLine.arguments.last ?? "") else { exit(64) }
switch CommandLine.arguments[1] {
case "attempt":
    let attempt = Attempt(rawValue: CommandLine.arguments[2])
    // What attempts upon others need is found before nothing can be found any more.
    let parent = getppid()
    _ = RawCall.function
    _ = DecodingChild.enterSandbox(order)
    _exit(attempt?.result(parent: parent) ?? 64)
case "act":
    Act(rawValue: CommandLine.arguments[2])?.play(order)
    _exit(64)
default:
    DecodingChild.run(order)
}
