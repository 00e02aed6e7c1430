import Foundation

/// What of a tool's JSON breaks its schema in docs/schema, one complaint a line; nil where python3-jsonschema is missing.
/// - Parameter lines: the text is JSON Lines, each a document of its own.
public func schemaComplaints(_ json: String, schema: String, lines: Bool = false) throws -> String? {
    let python = "/usr/bin/python3"
    guard FileManager.default.isExecutableFile(atPath: python),
        try runProgram(python, ["-c", "import jsonschema"]).exit == 0
    else {
        print("SKIPPED: no python3-jsonschema here: documents are not compared with their schema")
        return nil
    }
    let program = """
        import json, sys
        from jsonschema import Draft202012Validator
        schema = json.load(open(sys.argv[1]))
        Draft202012Validator.check_schema(schema)
        text = sys.stdin.read()
        documents = text.splitlines() if sys.argv[2] == "lines" else [text]
        if not documents:
            print("no document")
        for number, document in enumerate(documents, 1):
            for error in Draft202012Validator(schema).iter_errors(json.loads(document)):
                print(f"line {number}: {error.json_path}: {error.message}")
        """
    let result = try runProgram(
        python, ["-c", program, "\(repositoryFolder)/docs/schema/\(schema).schema.json", lines ? "lines" : "one"],
        input: Array(json.utf8))
    guard result.exit == 0 else { throw ProgramFailure(description: result.error) }
    return result.output
}
