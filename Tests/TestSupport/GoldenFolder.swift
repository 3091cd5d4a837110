import Foundation

/// The folder of golden values beside the tests.
public let goldenFolder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .appending(path: "Golden")
