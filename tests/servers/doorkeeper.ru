# A GitLab-like forge: Doorkeeper, the OAuth engine of GitLab, with its OpenID Connect
# part, set up as GitLab sets it up, and git over https for its tokens.
#
# Everything comes in one JSON file, named by FORGE: base, folder (of repositories),
# database, log, settings (read again for each token: {"life": seconds}), users
# {name: password}, clients [{uid, redirect, scopes, confidential}].
ENV["RAILS_ENV"] = "production"
require "json"
require "logger"
require "open3"
require "rails"
require "active_record/railtie"
require "action_controller/railtie"
require "doorkeeper"
require "doorkeeper/openid_connect"

SPEC = JSON.parse(File.read(ENV.fetch("FORGE")))
ENV["DATABASE_URL"] = "sqlite3:#{SPEC["database"]}?pool=32&timeout=10000"
SCOPES = %i[read_user read_api read_repository write_repository openid profile email].freeze

LIFE = -> { JSON.parse(File.read(SPEC["settings"]))["life"] }

class Forge < Rails::Application
  config.load_defaults 6.1
  config.root = SPEC["folder"]
  config.eager_load = false
  config.hosts.clear
  config.action_controller.allow_forgery_protection = false
  config.secret_key_base = "not a secret " * 8
  config.logger = Logger.new($stderr, level: :warn)
  config.log_level = :warn
  config.public_file_server.enabled = false
end

class User < ActiveRecord::Base; end

# config/initializers/doorkeeper.rb of GitLab: refresh tokens, enforced scopes, 2 hours.
Doorkeeper.configure do
  orm :active_record
  base_controller "ActionController::Base"
  resource_owner_authenticator do
    User.find_by(id: session[:user]) || begin
      session[:back] = request.fullpath
      redirect_to("/users/sign_in")
      nil
    end
  end
  use_refresh_token
  custom_access_token_expires_in { |_| LIFE.call }
  force_ssl_in_redirect_uri false
  enforce_configured_scopes
  default_scopes :api
  optional_scopes(*SCOPES)
  grant_flows %w[authorization_code client_credentials]
  # Doorkeeper's own consent page drops the nonce, which GitLab's page keeps.
  skip_authorization { |_, _| true }
end

Doorkeeper::OpenidConnect.configure do
  issuer SPEC["base"]
  protocol { URI(SPEC["base"]).scheme.to_sym }
  signing_key OpenSSL::PKey::RSA.new(2048).to_pem
  subject_types_supported [:public]
  resource_owner_from_access_token { |token| User.find_by(id: token.resource_owner_id) }
  auth_time_from_resource_owner { |_| Time.now - 5 }
  reauthenticate_resource_owner { |_, _| nil }
  subject { |user, _| user.id.to_s }
  claims do
    claim(:nickname, response: %i[id_token user_info]) { |user| user.name }
    claim(:preferred_username, response: %i[id_token user_info]) { |user| user.name }
  end
end

class SessionsController < ActionController::Base
  FORM = '<form method="post" action="/users/sign_in"><input name="login">' \
         '<input name="password" type="password"><button>Sign in</button></form>'

  def new
    render inline: FORM
  end

  def create
    user = User.find_by(name: params[:login], password: params[:password])
    return head(:unauthorized) unless user

    session[:user] = user.id
    redirect_to(session.delete(:back) || "/")
  end
end

# Git over https as GitLab: Basic alone, any user name, the token as the password.
class Git
  REFUSED = [401, { "WWW-Authenticate" => 'Basic realm="GitLab"',
                    "Content-Type" => "text/plain" }, ["HTTP Basic: Access denied\n"]].freeze

  def self.call(env)
    auth = Rack::Auth::Basic::Request.new(env)
    named = auth.provided? && auth.basic? ? auth.credentials : [nil, nil]
    token = named[1] && Doorkeeper::AccessToken.by_token(named[1])
    pushes = env["QUERY_STRING"].include?("receive-pack") ||
             env["PATH_INFO"].end_with?("receive-pack")
    needs = pushes ? %w[write_repository api] : %w[read_repository write_repository api]
    return REFUSED unless token&.accessible? && (token.scopes.to_a & needs).any?

    env["forge.user"] = User.find(token.resource_owner_id).name
    backend(env)
  end

  def self.backend(env)
    names = %w[PATH_INFO QUERY_STRING REQUEST_METHOD CONTENT_TYPE CONTENT_LENGTH
               HTTP_CONTENT_ENCODING HTTP_GIT_PROTOCOL]
    cgi = names.to_h { |name| [name, env[name].to_s] }
    cgi.update("GIT_PROJECT_ROOT" => SPEC["folder"], "GIT_HTTP_EXPORT_ALL" => "1",
               "REMOTE_USER" => env["forge.user"])
    out, = Open3.capture2(cgi, "git", "http-backend",
                          stdin_data: env["rack.input"].read, binmode: true)
    head, body = out.split("\r\n\r\n", 2)
    fields = head.split("\r\n").to_h { |line| line.split(": ", 2) }
    [(fields.delete("Status") || 200).to_i, fields, [body]]
  end
end

# One line for each request: what was asked, as whom, with what outcome. No secrets.
class Log
  def initialize(app)
    @app = app
    @lock = Mutex.new
  end

  def call(env)
    form = Rack::Request.new(env)
    grant = env["PATH_INFO"] == "/oauth/token" ? form.POST["grant_type"] : nil
    status, fields, body = @app.call(env)
    basic = env["HTTP_AUTHORIZATION"].to_s[/\ABasic (.+)/, 1]
    line = { path: env["PATH_INFO"], verb: env["REQUEST_METHOD"], grant: grant,
             status: status.to_i, user: env["forge.user"],
             named: basic&.unpack1("m")&.split(":")&.first,
             query: env["PATH_INFO"] == "/oauth/authorize" ? env["QUERY_STRING"] : nil }
    @lock.synchronize { File.open(SPEC["log"], "a") { |file| file.puts(line.to_json) } }
    [status, fields, body]
  end
end

Forge.initialize!
Forge.routes.draw do
  use_doorkeeper
  use_doorkeeper_openid_connect
  get "/users/sign_in", to: "sessions#new"
  post "/users/sign_in", to: "sessions#create"
end

# No column previous_refresh_token, as at GitLab: an old token dies with its refresh.
ActiveRecord::Schema.verbose = false
ActiveRecord::Schema.define do
  create_table(:users) do |t|
    t.string :name
    t.string :password
  end
  create_table(:oauth_applications) do |t|
    t.string :name, null: false
    t.string :uid, null: false
    t.string :secret, null: false
    t.text :redirect_uri
    t.string :scopes, null: false, default: ""
    t.boolean :confidential, null: false, default: true
    t.timestamps null: false
  end
  create_table(:oauth_access_grants) do |t|
    t.references :resource_owner, null: false
    t.references :application, null: false
    t.string :token, null: false
    t.integer :expires_in, null: false
    t.text :redirect_uri, null: false
    t.datetime :created_at, null: false
    t.datetime :revoked_at
    t.string :scopes, null: false, default: ""
    t.string :code_challenge
    t.string :code_challenge_method
  end
  create_table(:oauth_access_tokens) do |t|
    t.references :resource_owner
    t.references :application
    t.string :token, null: false
    t.string :refresh_token
    t.integer :expires_in
    t.datetime :revoked_at
    t.datetime :created_at, null: false
    t.string :scopes
  end
  create_table(:oauth_openid_requests) do |t|
    t.references :access_grant, null: false
    t.string :nonce, null: false
  end
end
SPEC["users"].each { |name, password| User.create!(name: name, password: password) }
SPEC["clients"].each do |client|
  Doorkeeper::Application.create!(
    name: client["uid"], uid: client["uid"], redirect_uri: client["redirect"],
    scopes: client["scopes"], confidential: client["confidential"]
  )
end

run Log.new(->(env) { env["PATH_INFO"] =~ %r{\.git/} ? Git.call(env) : Forge.call(env) })
