import ArgumentParser

/// The exit codes of sysexits(3) that the verbs use.
extension ExitCode {
    static let usage = ExitCode(64)
    static let dataError = ExitCode(65)
    static let noInput = ExitCode(66)
    static let unavailable = ExitCode(69)
    static let software = ExitCode(70)
    static let cannotCreate = ExitCode(73)
    static let inputOutput = ExitCode(74)
    static let temporaryFailure = ExitCode(75)
    static let configuration = ExitCode(78)
}

/// Ends a verb with two lines for people: what happened, and what to do.
func fail(_ code: ExitCode, _ message: String, hint: String? = nil) -> ExitCode {
    Console.error("error: \(message)")
    if let hint, !hint.isEmpty { Console.error("hint: \(hint)") }
    return code
}
