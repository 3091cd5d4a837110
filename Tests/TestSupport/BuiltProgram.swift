import Foundation

/// Programs and libraries of the package that tests start.
public enum BuiltProgram {
    private static let folder: URL = {
        let own = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
        return URL(fileURLWithPath: own).deletingLastPathComponent()
    }()

    /// - Returns: the one that was built with the tests and lies beside them.
    public static func url(_ name: String) -> URL { folder.appendingPathComponent(name) }

    /// - Returns: the one in the folder that `DROPREEL_PROGRAMS` names (a release build), else that beside the tests.
    public static func releaseURL(_ name: String) -> URL {
        ProcessInfo.processInfo.environment["DROPREEL_PROGRAMS"].map {
            URL(fileURLWithPath: $0).appendingPathComponent(name)
        } ?? url(name)
    }
}
